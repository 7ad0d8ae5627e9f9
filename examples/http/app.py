"""An HTTP API in front of a service: `GET /users/{id}`.

    uvicorn examples.http.app:app

The broker is the one that `RPC_TRANSPORT` names. The app starts without it: as long as it is not
there, requests are answered with 503.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypedDict

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from examples.http.deadline import requested_timeout
from examples.http.problem import problem
from examples.quickstart.contract import UserService
from rpc import Certainty, Channel, InvalidArgument, RpcError, Stub

__all__ = ["app"]


class State(TypedDict):
    """What the lifespan gives to every request."""

    users: UserService


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncGenerator[State]:
    """Share one channel among all requests; close it when the app ends."""
    channel = Channel()
    try:
        yield {"users": Stub(UserService, channel=channel)}
    finally:
        await asyncio.to_thread(channel.close)


async def get_user(request: Request[State]) -> Response:
    """Return the user as JSON."""
    users = request.state["users"]
    user = await users.get.with_options(timeout=requested_timeout(request.headers)).aio(
        _whole_number(request.path_params["id"])
    )
    return Response(msgspec.json.encode(user), media_type="application/json")


def _whole_number(text: str) -> int:
    try:
        return msgspec.convert(text, int, strict=False)
    except msgspec.ValidationError:
        message = "the id is not a whole number"
        raise InvalidArgument(message=message, certainty=Certainty.NOT_EXECUTED) from None


async def on_error(_: Request, error: Exception) -> Response:
    """Answer an error of a call as a problem."""
    if not isinstance(error, RpcError):
        raise error
    return problem(error)


app = Starlette(
    routes=[Route("/users/{id}", get_user)],
    lifespan=lifespan,
    exception_handlers={RpcError: on_error},
)
