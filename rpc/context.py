"""The call that is being handled: its deadline, metadata, caller, and whether to give up."""

import contextvars
from collections.abc import Callable, Mapping

import msgspec

from rpc.clock import Clock
from rpc.headers import is_control
from rpc.request import Request

__all__ = ["CallContext", "current_call", "handling", "inherited_timeout", "stop_handling"]


class CallContext(msgspec.Struct, eq=False):
    """What a handler may know of its call. Readable from any thread."""

    service: str
    """The service's full name on the wire, as `users.v2`."""
    method: str
    """The method's name on the wire, as `get`."""
    deadline: float
    """When the caller stops waiting, on the server's monotonic clock, in seconds."""
    _request: Request
    _taken: float
    _clock: Clock
    _cancelled: bool = False
    _complete: Callable[[object, object], None] | None = None

    @property
    def call_id(self) -> bytes:
        """The same for every attempt of the caller's."""
        return self._request.call_id

    @property
    def caller(self) -> str | None:
        """The instance id of the calling channel, as it says; nothing proves it. None: unknown."""
        return self._request.client

    @property
    def attempt(self) -> int:
        """1, or more where the caller tried before with the same call id."""
        return self._request.attempt

    @property
    def key(self) -> bytes | None:
        """The routing key of the request."""
        return self._request.key

    @property
    def headers(self) -> Mapping[str, bytes]:
        """Every header as it came, the protocol's own too."""
        return self._request.headers

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; negative once it has passed."""
        return self.deadline - self._clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the server took the request."""
        return self._clock() - self._taken

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits any more: the caller gave up, or the deadline has passed."""
        return self._cancelled or self.remaining <= 0

    @property
    def metadata(self) -> Mapping[str, str]:
        """The caller's own headers as text; bytes that are not UTF-8 show as U+FFFD."""
        return {
            name: value.decode("utf-8", "replace")
            for name, value in self.headers.items()
            if not is_control(name)
        }

    def complete_in(self, connection: object, result: object) -> None:
        """Write `result` as the reply of this call into a transaction of yours.

        So what the handler did and the note that it is done are committed together, or neither is.
        `connection` is one of `sqlite3`, to the database that holds the server's `SqliteStore`,
        with the transaction open; you commit it. Return the same result then. Raises `LeaseLost`
        where another server has taken the work over: roll back. Raises `LookupError` where the
        method is not `delivery="effectively_once"`.
        """
        if self._complete is None:
            raise LookupError(
                f"{self.service}.{self.method} is not effectively_once: there is no reply to keep"
            )
        self._complete(connection, result)

    def completes_by(self, complete: Callable[[object, object], None]) -> None:
        """Let `complete_in` do this."""
        self._complete = complete

    def cancel(self) -> None:
        """Note that the caller gave up."""
        self._cancelled = True


_current: contextvars.ContextVar[CallContext | None] = contextvars.ContextVar(
    "rpc_current_call", default=None
)


def current_call() -> CallContext:
    """Return the call that this thread or task is handling.

    Raises `LookupError` outside of a handler. A thread that a handler starts itself does not
    inherit it; run it in `contextvars.copy_context()`.
    """
    context = _current.get()
    if context is None:
        raise LookupError("no call is being handled here: current_call() is for handlers")
    return context


def inherited_timeout() -> float | None:
    """Return the seconds that the call being handled has left, None outside of a handler."""
    context = _current.get()
    return None if context is None else context.remaining


def handling(context: CallContext) -> contextvars.Token[CallContext | None]:
    """Make `context` current for this thread or task, until `stop_handling`."""
    return _current.set(context)


def stop_handling(token: contextvars.Token[CallContext | None]) -> None:
    """Undo `handling`."""
    _current.reset(token)
