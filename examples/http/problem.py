"""Errors of calls as HTTP: a status for each code, and a body after RFC 9457."""

from typing import Final

import msgspec
from starlette.responses import Response

from rpc import Certainty, Code, RpcError

__all__ = ["STATUS", "Problem", "problem"]

STATUS: Final = {
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
"""The table that gRPC's own gateways use (google.rpc.Code); 499 is nginx's."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem after RFC 9457; without a `type`, the title says what the status says."""

    status: int
    title: str
    code: Code
    certainty: Certainty
    detail: str | None = None
    error_id: str | None = None


def problem(error: RpcError) -> Response:
    """Return `error` as a response.

    Below 500 the message is for the caller. Above, it is about our insides - topics, brokers - and
    stays here; what leaves is the id under which the server logged it.
    """
    status = STATUS[error.code]
    body = Problem(
        status=status,
        title=error.code.value.replace("_", " ").capitalize(),
        code=error.code,
        certainty=error.certainty,
        detail=error.message if status < 500 and error.message else None,
        error_id=error.error_id,
    )
    return Response(
        msgspec.json.encode(body), status_code=status, media_type="application/problem+json"
    )
