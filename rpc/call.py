"""One call of a client, from its registration to its end: what `.future()` returns.

Ended by whoever takes it out of the channel's table of pending calls, hence once. The reply is
decoded by the thread that asks for it, not by the one that reads all replies. `_sending` guards
what `.sent` resolves to; a call that nobody asks for it takes no lock.
"""

import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec

from contracts import NO_RETRY, Cancelled, Certainty, DeadlineExceeded, RetryPolicy, RpcError
from rpc.calls import CallState
from rpc.completion import Completion
from rpc.interceptor import Chain, Outcome
from rpc.reply import Reply
from rpc.route import Route
from transports.base import Headers, Receipt
from transports.log import get_logger

__all__ = ["Call"]

_log = get_logger("rpc.channel")
_sending = threading.Lock()

R = TypeVar("R")


class Call(msgspec.Struct, Generic[R], eq=False):
    """A call in flight. Thread-safe; awaitable from any event loop, any number of times."""

    _cancel: "Callable[[Call[Any]], bool]"
    route: Route
    call_id: bytes
    """16 bytes, the same for every attempt."""
    timeout: float
    deadline: float
    key: bytes | None = None
    metadata: Headers = ()
    policy: RetryPolicy = NO_RETRY
    idempotency_key: bytes | None = None
    wait_for_ready: bool = False
    """Whether to wait for a server until the deadline where there is none."""
    body: bytes = b""
    began: float = 0.0
    """When it was registered, connected and ready to be sent."""
    attempt: int = 0
    """How often it was sent; 0 while it waits, for room or for somebody who serves it."""
    unresolved: int = 0
    """A bit for each attempt that may have run: sent, and not proven not executed."""
    state: CallState = CallState.PENDING
    receipt: Receipt | None = None
    """Where the request stands, once the broker acknowledged it: the last attempt that it has."""
    receipts: tuple[tuple[int, Receipt], ...] = ()
    """Where each attempt stands that is acknowledged."""
    answered: int = 0
    """Which attempt was answered, once one was."""
    room: Completion[None] | None = None
    """Set once the call waits for room in its channel no more; None: it never had to."""
    last_error: RpcError | None = None
    """Why the last attempt failed, where another is to follow."""
    chain: Chain | None = None
    """The interceptors that have been entered and are to be left at the end."""
    _end: Completion[Reply | Outcome] = msgspec.field(default_factory=Completion)
    _outcome: Outcome | None = None
    _sent: Completion[Receipt | RpcError] | None = None
    _unsent: RpcError | None = None
    """Why no acknowledgement is to be waited for."""

    # -- for the caller ------------------------------------------------------------------------

    def done(self) -> bool:
        """Tell whether the call has ended."""
        return self._end.done()

    def result(self, timeout: float | None = None) -> R:
        """Return the result, waiting for it; a failed call raises its `RpcError`.

        The call ends by its deadline in any case. With `timeout` seconds passed before, raises
        `TimeoutError` and the call goes on.
        """
        self._wait(timeout)
        return self._settled().unwrap()  # type: ignore[return-value]  # decoded as the contract says

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return how the call failed, None if it did not; waits as `result` does."""
        self._wait(timeout)
        return self._settled().error

    def cancel(self) -> bool:
        """End the call with `Cancelled` and tell the server; False if it had ended already."""
        return self._cancel(self)

    @property
    def sent(self) -> "Sent":
        """Where the request stands on the broker, as a future of its own."""
        return Sent(self)

    def add_done_callback(self, callback: "Callable[[Call[R]], object]") -> None:
        """Run `callback(call)` at the end, or now; on the channel's reader thread: be short.

        What it raises is logged: other calls need that thread.
        """
        self._end.when_done(partial(self._tell, callback))

    def __await__(self) -> Generator[Any, None, R]:
        yield from self._end.__await__()
        return self._settled().unwrap()  # type: ignore[return-value]  # decoded as the contract says

    def __repr__(self) -> str:
        return f"<Call {self.route.full_name} {self.call_id.hex()} {self.state.value}>"

    # -- for the channel -----------------------------------------------------------------------

    def finish(self, state: CallState, end: Reply | Outcome | RpcError) -> None:
        """End the call. Only by whoever took it out of the table of pending calls."""
        self.state = state
        if isinstance(end, RpcError):
            self.unsent(end)
            end = Outcome(error=end)
        elif isinstance(end, Outcome):  # an interceptor's: it has not let the call through
            self.unsent(_not_sent(end.error or "an interceptor answered the call"))
        if self.chain is not None:  # interceptors see the outcome now, not when it is asked for
            end = self.chain.leave(self._read(end))
        self._end.set(end)

    def sent_to(self, attempt: int, receipt: Receipt) -> None:
        """Note that the broker has this attempt of the request; `tell_sent` tells who waits."""
        self.receipt = receipt
        self.receipts += ((attempt, receipt),)

    def tell_sent(self) -> None:
        """Tell whoever waits for it that the broker has the request."""
        if self._sent is not None:
            self._settle_sent(self._sent)

    def unsent(self, error: RpcError) -> None:
        """Note that no acknowledgement is to be waited for any more."""
        self._unsent = error
        if self._sent is not None:
            self._settle_sent(self._sent)

    def watch_sent(self) -> Completion[Receipt | RpcError]:
        """Return the completion behind `sent`, made when first asked for."""
        with _sending:
            if self._sent is None:
                self._sent = Completion()
            sent = self._sent
        self._settle_sent(sent)  # what became known before `_sent` was there
        return sent

    def _settle_sent(self, sent: Completion[Receipt | RpcError]) -> None:
        with _sending:
            known = self.receipt or self._unsent
            if known is not None and not sent.done():
                sent.set(known)

    def count_attempt(self) -> None:
        """Note that one more attempt is about to be sent."""
        self.attempt += 1
        self.unresolved |= 1 << self.attempt

    def not_executed(self, attempt: int) -> None:
        """Note that this attempt has certainly not run, and will not."""
        self.unresolved &= ~(1 << attempt)

    @property
    def certainty(self) -> Certainty:
        """What is known of the execution while there is no reply."""
        return Certainty.UNKNOWN if self.unresolved else Certainty.NOT_EXECUTED

    @property
    def losers(self) -> list[Receipt]:
        """Where attempts stand that were not answered and may be running."""
        return [
            receipt
            for attempt, receipt in self.receipts
            if attempt != self.answered and self.unresolved >> attempt & 1
        ]

    def expired(self, seen: str = "") -> DeadlineExceeded:
        """Return the error of a call whose deadline has passed: how far it came, and where.

        `seen` is what is known of the group that should have read it.
        """
        if self.receipt is not None:
            where = (
                f"the request is acknowledged at {self.receipt.topic}"
                f"[{self.receipt.partition}]@{self.receipt.offset}{seen}"
            )
        elif self.last_error is not None:
            where = f"attempt {self.attempt} failed before: {self.last_error}"
        else:
            where = "the broker has not acknowledged the request"
        return DeadlineExceeded(
            message=f"{self.route.full_name}: no reply within {self.timeout:g} s; {where}",
            certainty=self.certainty,
        )

    def cancelled(self) -> Cancelled:
        """Return the error of a call that its caller gave up."""
        return Cancelled(
            message=f"{self.route.full_name}: cancelled by the caller",
            certainty=self.certainty,
        )

    def _tell(self, callback: "Callable[[Call[R]], object]") -> None:
        try:
            callback(self)
        except Exception:
            _log.exception("call.callback_failed", method=self.route.full_name)

    def _wait(self, timeout: float | None) -> None:
        if not self._end.done() and not self._end.wait(timeout):
            raise TimeoutError(
                f"{self.route.full_name}: not done after {timeout:g} s of waiting; the call goes on"
            )

    def _settled(self) -> Outcome:
        if self._outcome is None:  # two threads may decode at once: to the same outcome
            self._outcome = self._read(self._end.get())
        return self._outcome

    def _read(self, end: Reply | Outcome) -> Outcome:
        if isinstance(end, Outcome):
            return end
        outcome = self.route.read(end)
        error = outcome.error
        if (
            isinstance(error, RpcError)
            and error.certainty is Certainty.NOT_EXECUTED
            and self.unresolved & ~(1 << end.attempt)
        ):
            error.certainty = Certainty.UNKNOWN  # true of one attempt, unproven for another
        return outcome


def _not_sent(why: object) -> RpcError:
    return Cancelled(message=f"not sent: {why}", certainty=Certainty.NOT_EXECUTED)


class Sent:
    """The acknowledgement of a request: resolves to its `Receipt`, or fails as the send did."""

    __slots__ = ("_call",)

    def __init__(self, call: Call[Any]) -> None:
        self._call = call

    def done(self) -> bool:
        """Tell whether the broker answered, or the call ended without it."""
        return self._call.receipt is not None or self._call.watch_sent().done()

    def result(self, timeout: float | None = None) -> Receipt:
        """Return topic, partition and offset; raises the call's error if it was never sent.

        Raises `TimeoutError` after `timeout` seconds.
        """
        completion = self._call.watch_sent()
        if not completion.wait(timeout):
            raise TimeoutError(f"{self._call.route.full_name}: not acknowledged in {timeout:g} s")
        return _receipt(completion.get())

    def __await__(self) -> Generator[Any, None, Receipt]:
        return _receipt((yield from self._call.watch_sent().__await__()))


def _receipt(value: Receipt | RpcError) -> Receipt:
    if isinstance(value, RpcError):
        raise value
    return value
