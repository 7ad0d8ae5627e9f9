import asyncio
from typing import Protocol

import pytest

from contracts import method


class Users(Protocol):
    @method
    def get(self, user_id: int) -> str: ...

    @method
    def find(self, user_id: int) -> str: ...


class UsersImpl(Users):
    @method
    def get(self, user_id: int) -> str:
        """Get one user."""
        return _look_up(user_id)

    @method
    async def find(self, user_id: int) -> str:
        await asyncio.sleep(0)
        return _look_up(user_id)


def _look_up(user_id):
    if user_id < 0:
        raise LookupError(user_id)
    return f"user {user_id}"


NAMES = pytest.mark.parametrize("name", ["get", "find"])


@NAMES
def test_calling_runs_the_handler_to_its_end(name):
    call = getattr(UsersImpl(), name)

    assert call(42) == call(user_id=42) == "user 42"


@NAMES
def test_awaiting_runs_the_handler(name):
    async def main():
        return await getattr(UsersImpl(), name).aio(42)

    assert asyncio.run(main()) == "user 42"


@NAMES
def test_what_a_handler_raises_comes_as_it_is(name):
    with pytest.raises(LookupError):
        getattr(UsersImpl(), name)(-1)


@NAMES
def test_a_future_is_a_finished_call(name):
    call = getattr(UsersImpl(), name).future(42)
    told = []
    call.add_done_callback(told.append)

    async def main():
        return await call

    assert (call.result(), call.result(timeout=0), call.exception()) == ("user 42", "user 42", None)
    assert (call.done(), call.cancel(), told) == (True, False, [call])
    assert (call.sent.done(), call.sent.result()) == (True, None)
    assert asyncio.run(main()) == "user 42"


@NAMES
def test_the_future_of_a_failure_holds_the_error(name):
    call = getattr(UsersImpl(), name).future(-1)

    assert isinstance(call.exception(), LookupError)
    with pytest.raises(LookupError):
        call.result()


def test_an_async_handler_cannot_be_called_where_an_event_loop_runs():
    async def main():
        UsersImpl().find(42)

    with pytest.raises(RuntimeError) as caught:
        asyncio.run(main())

    assert str(caught.value) == (
        "UsersImpl.find is `async def`, and an event loop runs in this thread:"
        " write `await impl.find.aio(...)`"
    )


def test_a_plain_handler_can_be_called_where_an_event_loop_runs():
    async def main():
        return UsersImpl().get(42)

    assert asyncio.run(main()) == "user 42"


def test_options_mean_nothing_here():
    bound = UsersImpl().get

    assert bound.with_options(timeout=1.0, key="k", metadata={"a": "b"}) is bound
    assert bound.__doc__ == "Get one user."
