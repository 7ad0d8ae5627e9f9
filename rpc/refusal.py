"""Why a request is not run: an error for its caller, and what must hold before it is told. Pure."""

from typing import NamedTuple

from contracts import (
    Cancelled,
    Certainty,
    DeadlineExceeded,
    InternalError,
    InvalidArgument,
    Overloaded,
    RpcError,
)

__all__ = [
    "Refusal",
    "busy",
    "expired",
    "given_up",
    "killed_before",
    "overdue",
    "unreadable",
]


class Refusal(NamedTuple):
    """The answer to a request whose handler was not called."""

    error: RpcError
    retry_after: float | None = None
    """Seconds after which the caller may try again; None: unsaid."""
    lasting: bool = False
    """Whether it holds wherever the request comes next: nobody starts what is too late."""


def expired(method: str, age: float) -> Refusal:
    """Return what is told of a request that was too old when it came."""
    message = f"{method}: the deadline passed before the server took the request, which was "
    return _not_executed(DeadlineExceeded, f"{message}{age:.3f} s old then", lasting=True)


def overdue(method: str) -> Refusal:
    """Return what is told of a request whose deadline passed while it waited here."""
    message = f"{method}: the deadline passed before the handler was started"
    return _not_executed(DeadlineExceeded, message, lasting=True)


def given_up(method: str) -> Refusal:
    """Return what is told of a request that its caller cancelled while it waited here."""
    return _not_executed(Cancelled, f"{method}: the caller gave up before the handler was started")


def unreadable(what: str) -> Refusal:
    """Return what is told of a request that can't be read: `what` says where and why."""
    return _not_executed(InvalidArgument, what)


def busy(method: str, why: str, retry_after: float | None = None) -> Refusal:
    """Return what is told of a request for which there is no room."""
    refusal = _not_executed(Overloaded, f"{method}: {why}")
    return refusal._replace(retry_after=retry_after)


def killed_before(method: str, crashes: int) -> Refusal:
    """Return what is told of a request at which servers have died."""
    message = f"{method}: {crashes} servers ended while they were at this request; it is set aside"
    return Refusal(InternalError(message=message, certainty=Certainty.UNKNOWN), retry_after=-1.0)


def _not_executed(kind: type[RpcError], message: str, *, lasting: bool = False) -> Refusal:
    error = kind(message=message, certainty=Certainty.NOT_EXECUTED)  # type: ignore[call-arg] # the code is the class's
    return Refusal(error, lasting=lasting)
