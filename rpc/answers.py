"""Errors as replies: what a caller is told, and what stays with the server.

An exception that the contract does not declare is told as `INTERNAL` with an id under which the
server has logged it; its text and its traceback never leave the process.
"""

import secrets

from contracts import (
    Certainty,
    Code,
    Codec,
    EncodeError,
    ErrorBody,
    InternalError,
    RpcError,
    to_wire,
)
from rpc.idempotency import StoredReply
from rpc.job import Job
from rpc.reply import reply_message
from rpc.request import Request
from transports.base import Message
from transports.log import get_logger

__all__ = ["error_reply", "handler_error", "kept_reply", "server_fault"]

_log = get_logger("rpc.server")


def error_reply(
    request: Request, codec: Codec, error: RpcError, retry_after: float | None = None
) -> Message:
    """Return the reply that tells `error`, in the codec of the request."""
    try:
        encoded = codec.encode(to_wire(error))
    except EncodeError as fault:  # details that the codec can't carry
        _log.warning("reply.details_dropped", code=error.code.value, error=str(fault))
        encoded = codec.encode(
            ErrorBody(error.code, _text(error.wire_name), _text(error.message), {}, error.certainty)
        )
    return reply_message(request, error.code, codec.content_type, encoded, retry_after=retry_after)


def kept_reply(request: Request, stored: StoredReply) -> Message:
    """Return what is kept as the reply to `request`, whoever asked for the work first."""
    code = None if stored.code is None else Code(stored.code)
    return reply_message(request, code, stored.content_type, stored.body)


def handler_error(job: Job, error: BaseException) -> RpcError:
    """Return what the caller is told of an exception that left the handler.

    An `RpcError` keeps code, message and details, but not its certainty: a call *inside* the
    handler that was not executed says nothing of this one, which was (Finagle's rule that
    retryability does not pass a server).
    """
    if not isinstance(error, RpcError):
        return server_fault(job, "the handler failed", error)
    if type(error).wire_name not in job.plan.handler.spec.errors and type(error) is not RpcError:
        _log.info("handler.undeclared_error", **job.log_fields(), code=error.code.value)
    error.certainty = Certainty.EXECUTED
    return error


def server_fault(job: Job, what: str, cause: BaseException | None) -> InternalError:
    """Log a fault of the server's own under a new id, and return the error that names the id."""
    error_id = secrets.token_hex(8)
    _log.error("handler.failed", **job.log_fields(), error_id=error_id, what=what, exc_info=cause)
    return InternalError(
        message=f"{job.plan.handler.spec.full_name}: {what}; the server logged it as {error_id}",
        certainty=Certainty.EXECUTED,
        error_id=error_id,
    )


def _text(value: object) -> str:
    """Return `value` as text that every codec carries: lone surrogates become question marks."""
    return str(value).encode("utf-8", "replace").decode()
