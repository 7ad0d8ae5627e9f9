"""Why a request is not run: an error for its caller, and what must hold before it is told. Pure."""

from collections import OrderedDict
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
from rpc.request import Request

__all__ = [
    "Refusal",
    "Refusals",
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


class Refusals:
    """The attempts that were refused lately, so that none is run when it comes once more.

    A producer that got no answer may have appended a request twice, and whoever was told that the
    first was not executed relies on the second. The oldest are forgotten. `note` is for one thread
    at a time, `of` for any.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._refusals: OrderedDict[tuple[str | None, bytes, int], Refusal] = OrderedDict()

    def note(self, request: Request, refusal: Refusal) -> None:
        """Remember that this attempt was refused."""
        self._refusals[_attempt(request)] = refusal
        if len(self._refusals) > self._most:
            self._refusals.popitem(last=False)

    def of(self, request: Request) -> Refusal | None:
        """Return why this attempt was refused before; None: it was not."""
        return self._refusals.get(_attempt(request)) if self._refusals else None


def _attempt(request: Request) -> tuple[str | None, bytes, int]:
    return request.client, request.call_id, request.attempt


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
