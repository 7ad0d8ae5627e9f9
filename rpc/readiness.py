"""Work that must have succeeded once before a call can be made: opening, creating a topic.

One thread does it while each caller waits no longer than its own deadline; what it began goes on
for the next one. A failure is told to those who waited, and the next call tries again.
"""

import threading
from collections.abc import Callable

from contracts import Certainty, InternalError, RpcError
from rpc.completion import Completion
from rpc.transport_errors import to_rpc_error
from transports.errors import TransportError
from transports.forks import renew_in_child

__all__ = ["Readiness", "Run"]

Run = Callable[[Callable[[], None]], None]
"""Runs work somewhere: on a thread of its own, or here and now where a test steps through."""


class Readiness:
    """Done once, by one thread. `ready` never goes back."""

    def __init__(self, work: Callable[[], None], run: Run) -> None:
        self.ready = False
        self._work = work
        self._run = run
        self._lock = threading.Lock()
        self._attempt: Completion[RpcError | None] | None = None
        renew_in_child(self)

    def begin(self) -> Completion[RpcError | None]:
        """Return the attempt that is under way, starting one where there is none.

        It completes with None once the work is done, or with the error that it raised.
        """
        with self._lock:
            if self._attempt is not None:
                return self._attempt
            attempt = self._attempt = Completion()
        try:
            self._run(lambda: self._do(attempt))
        except Exception as fault:  # no thread can be started
            self._end(attempt, _told(fault))
        return attempt

    def _do(self, attempt: Completion[RpcError | None]) -> None:
        error: RpcError | None = None
        try:
            self._work()
        except Exception as fault:  # unsaid, all would wait for their deadlines
            error = _told(fault)
        self._end(attempt, error)

    def _end(self, attempt: Completion[RpcError | None], error: RpcError | None) -> None:
        with self._lock:
            awaited = self._attempt is attempt
            if error is None:
                self.ready = True
            elif awaited:
                self._attempt = None
        if awaited:
            attempt.set(error)

    def give_up(self, error: RpcError) -> None:
        """Tell `error` to those who wait for the attempt under way, whatever becomes of it."""
        with self._lock:
            attempt = self._attempt
            if attempt is None or self.ready:
                return
            self._attempt = None
        attempt.set(error)

    def after_fork(self) -> None:
        """Forget the attempt under way, in a child process: its thread is not here."""
        self._lock = threading.Lock()
        if not self.ready:
            self._attempt = None


def _told(fault: Exception) -> RpcError:
    if isinstance(fault, RpcError):
        return fault
    if isinstance(fault, TransportError):
        return to_rpc_error(fault, "connecting")
    error = InternalError(
        message=f"not ready: {type(fault).__name__}: {fault}", certainty=Certainty.NOT_EXECUTED
    )
    error.__cause__ = fault  # a transport's own
    return error
