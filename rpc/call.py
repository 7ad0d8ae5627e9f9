"""One call of a client, from its registration to its end: what `.future()` returns.

Ended by whoever takes it out of the channel's table of pending calls, hence once. The reply is
decoded by the thread that asks for it, not by the one that reads all replies.
"""

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

import msgspec

from contracts import Certainty, RpcError
from rpc.call_errors import to_raise, unsent_error
from rpc.calls import CallState
from rpc.completion import Completion
from rpc.ending import Told, ending
from rpc.interceptor import Chain, Outcome
from rpc.options import Terms
from rpc.rare import Rare, few
from rpc.reply import Reply
from rpc.route import Route
from rpc.sent import Sent
from rpc.wakeups import awaiting
from transports.base import Receipt

__all__ = ["Call"]


R = TypeVar("R")


class Call(msgspec.Struct, Generic[R], eq=False):
    """A call in flight. Thread-safe; awaitable from any event loop, any number of times."""

    _cancel: "Callable[[Call[Any]], bool]"
    route: Route
    terms: Terms
    call_id: bytes
    """16 bytes, the same for every attempt."""
    timeout: float
    deadline: float
    key: bytes | None
    idempotency_key: bytes | None
    body: bytes = b""
    began: float = 0.0
    """When it was registered, connected and ready to be sent."""
    due: float = 0.0
    """When it is to be looked at next, while it is pending."""
    attempt: int = 0
    """How often it was sent; 0 while it waits, for room or for somebody who serves it."""
    unresolved: int = 0
    """A bit for each attempt that may have run: sent, and not proven not executed."""
    state: CallState = CallState.PENDING
    answered: int = 0
    """Which attempt was answered, once one was."""
    _first: Receipt | None = None
    """Where the first attempt stands, once it is acknowledged."""
    _end: Completion[Reply | Outcome] = msgspec.field(default_factory=Completion)
    _outcome: Outcome | None = None
    _rare: Rare | None = None

    # -- for the caller ------------------------------------------------------------------------

    def done(self) -> bool:
        """Tell whether the call has ended."""
        return self._end.done()

    def result(self, timeout: float | None = None) -> R:
        """Return the result, waiting for it; a failed call raises its `RpcError`.

        The error is a new one each time. The call ends by its deadline in any case. With `timeout`
        seconds passed before, raises `TimeoutError` and the call goes on.
        """
        outcome = self._outcome or self._settled(timeout)
        if outcome.error is not None:
            raise to_raise(outcome.error)
        return outcome.value  # type: ignore[return-value]  # decoded as the contract says

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return how the call failed, None if it did not; waits as `result` does."""
        return (self._outcome or self._settled(timeout)).error

    def cancel(self) -> bool:
        """End the call with `Cancelled` and tell the server; False if it had ended already."""
        return self._cancel(self)

    @property
    def sent(self) -> Sent:
        """Where the request stands on the broker, as a future of its own."""
        return Sent(self)

    def add_done_callback(self, callback: "Callable[[Call[R]], object]") -> None:
        """Run `callback(call)` at the end, on the thread that ends the call, or now.

        Be short: other calls need that thread, most often the one that reads all replies. What it
        raises is logged.
        """
        self._end.when_done(Told(self, callback))

    def __await__(self) -> Generator[Any, None, R]:
        if not self._end.done():
            yield from self.ended()
        return self.result()

    def __repr__(self) -> str:
        return f"<Call {self.route.full_name} {self.call_id.hex()} {self.state.value}>"

    def ended(self) -> "asyncio.Future[None]":
        """Return a future of the running event loop that is done once the call has ended."""
        future, wake = awaiting()
        self._end.when_done(wake)
        return future

    # -- for the channel -----------------------------------------------------------------------

    @property
    def room(self) -> Completion[None] | None:
        """Set once the call waits for room in its channel no more; None: it never had to."""
        return None if self._rare is None else self._rare.room

    @property
    def last_error(self) -> RpcError | None:
        """Why the last attempt failed, where another is to follow."""
        return None if self._rare is None else self._rare.last_error

    @property
    def receipt(self) -> Receipt | None:
        """Where the request stands, once the broker acknowledged it: the last attempt it has."""
        rare = self._rare
        return rare.others[-1][1] if rare is not None and rare.others else self._first

    @property
    def receipts(self) -> tuple[tuple[int, Receipt], ...]:
        """Where each attempt stands that is acknowledged."""
        first = () if self._first is None else ((1, self._first),)
        return first if self._rare is None else first + self._rare.others

    def receipt_of(self, attempt: int) -> Receipt | None:
        """Return where this attempt stands, None where it is not acknowledged."""
        return self._first if attempt == 1 else dict(self.receipts).get(attempt)

    def wait_for_room(self) -> None:
        """Note that the call waits for room: `room` is there from now on."""
        self._rarely().room = Completion()

    def failing(self, error: RpcError | None) -> None:
        """Note why the last attempt failed, where another is to follow; None: it is on its way."""
        if error is not None or self._rare is not None:
            self._rarely().last_error = error

    def intercepted(self, chain: Chain) -> None:
        """Have the interceptors that were entered left at the end."""
        self._rarely().chain = chain

    def finish(self, state: CallState, end: Reply | Outcome | RpcError) -> None:
        """End the call. Only by whoever took it out of the table of pending calls."""
        self.state = state
        before, ending.here = ending.here, True
        try:
            if isinstance(end, Reply):
                self._unacknowledged()
            elif isinstance(end, RpcError):
                self.unsent(end)
                end = Outcome(error=end)
            else:  # an interceptor's: it has not let the call through
                self.unsent(unsent_error(end.error or "an interceptor answered the call"))
            rare = self._rare
            if rare is not None and rare.chain is not None:
                # Interceptors see the outcome now, not when it is asked for.
                end = rare.chain.leave(self._read(end))
            self._end.set(end)
        finally:
            ending.here = before

    def abandon(self, error: RpcError) -> None:
        """End the call in a forked child, where neither its threads are nor those that wait."""
        self.state = CallState.CLOSED
        self._end = Completion()
        self._end.set(Outcome(error=error))
        self._rare = Rare(unsent=error)

    def sent_to(self, attempt: int, receipt: Receipt) -> None:
        """Note that the broker has this attempt of the request; `tell_sent` tells who waits."""
        if attempt == 1:
            self._first = receipt
        else:
            self._rarely().others += ((attempt, receipt),)

    def tell_sent(self) -> None:
        """Tell whoever waits for it what became of the request."""
        if self._rare is not None and self._rare.sent is not None:
            self._settle(self._rare)

    def not_sent(self, attempt: int, error: RpcError) -> None:
        """Note that the broker has not acknowledged this attempt, and will not."""
        rare = self._rarely()
        with few.lock:
            rare.failed |= 1 << attempt
            rare.send_error = error
        if self.state is not CallState.PENDING:  # else `finish` looks
            self._unacknowledged()

    def _unacknowledged(self) -> None:
        rare = self._rare
        if rare is not None and rare.send_error and rare.failed.bit_count() == self.attempt:
            self.unsent(rare.send_error)

    def unsent(self, error: RpcError) -> None:
        """Note that no acknowledgement is to be waited for any more."""
        self._rarely().unsent = error
        self.tell_sent()

    def watch_sent(self) -> Completion[Receipt | RpcError]:
        """Return the completion behind `sent`, made when first asked for."""
        rare = self._rarely()
        with few.lock:
            if rare.sent is None:
                rare.sent = Completion()
            sent = rare.sent
        self._settle(rare)  # what became known before it was there
        return sent

    def _settle(self, rare: Rare) -> None:
        with few.lock:
            known = self.receipt or rare.unsent
            if known is not None and rare.sent is not None and not rare.sent.done():
                rare.sent.set(known)

    def _rarely(self) -> Rare:
        if self._rare is None:
            with few.lock:
                if self._rare is None:
                    self._rare = Rare()
        return self._rare

    def count_attempt(self) -> None:
        """Note that one more attempt is about to be sent."""
        self.attempt += 1
        self.unresolved |= 1 << self.attempt

    def not_executed(self, attempt: int) -> None:
        """Note that this attempt has certainly not run, and will not."""
        self.unresolved &= ~(1 << attempt)

    def may_have_run(self, attempt: int) -> bool:
        """Tell whether this attempt was sent, and is not known not to have run."""
        return bool(self.unresolved >> attempt & 1)

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
            if attempt != self.answered and self.may_have_run(attempt)
        ]

    def _settled(self, timeout: float | None) -> Outcome:
        if not self._end.wait(timeout):
            raise TimeoutError(
                f"{self.route.full_name}: not done after {timeout:g} s of waiting; the call goes on"
            )
        outcome = self._outcome = self._read(self._end.get())  # by two threads at once: the same
        return outcome

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
