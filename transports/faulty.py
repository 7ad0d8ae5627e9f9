"""A transport that wraps a transport and makes sends go wrong, as planned.

Owner: the plan, the counts and what is held are touched under `_lock`; nothing foreign runs under
it but the plan's own `where`. One thread, `rpc-faulty-timer`, lets go what is held; it starts with
the first message held, and not at all on a clock that the caller moves.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial
from threading import Condition, Lock, Thread, current_thread
from typing import NamedTuple

from transports.base import (
    Address,
    Message,
    OnSent,
    Receipt,
    Send,
    Transport,
)
from transports.errors import SendUncertain, TransportClosed, TransportError
from transports.faults import Fault, FaultPlan, Faults
from transports.forwarding import ForwardingTransport
from transports.outcome import tell

__all__ = ["FaultyTransport"]


class _Held(NamedTuple):
    due: float
    swaps: bool
    forward: Send
    address: Address
    message: Message
    on_sent: OnSent


class FaultyTransport(ForwardingTransport):
    """Any transport, with faults on its sends; receiving is the inner transport's own.

    Thread-safe. What goes wrong depends on the seed and on the order of the sends alone: with one
    sending thread a run repeats exactly. Delays and reordering break the order per key: that is
    what they are for. Owns the inner transport: closing closes it.
    """

    def __init__(
        self,
        inner: Transport,
        faults: Faults,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Wrap `inner`. With a `clock`, what is held goes when `release_due` or `release` is called
        and never by itself; without one, a thread lets it go in real time."""
        super().__init__(inner)
        self._faults = faults
        self._plan = FaultPlan(faults)
        self._timed = clock is None
        self._clock = clock or time.monotonic
        self._lock = Lock()
        self._changed = Condition(self._lock)
        self._held: list[_Held] = []
        self._counts: Counter[Fault] = Counter()
        self._timer: Thread | None = None
        self._closed = False

    @property
    def counts(self) -> Mapping[Fault, int]:
        """How many sends each fault has bitten so far: a copy, with every kind in it."""
        with self._lock:
            return {kind: self._counts[kind] for kind in Fault}

    @property
    def held(self) -> int:
        """How many messages are held now."""
        with self._lock:
            return len(self._held)

    def send(
        self,
        address: Address,
        message: Message,
        on_sent: OnSent,
        /,
        *,
        avoid: Collection[int] = (),
        once: bool = False,
        packed: bool = False,
    ) -> None:
        """Send, or do what the plan says instead; `on_sent` is called once whatever happens."""
        forward = partial(super().send, avoid=avoid, once=once, packed=packed)
        with self._lock:
            closed = self._closed
            fault = None if closed else self._plan.next(address, message)
            if fault in {Fault.DELAY, Fault.REORDER}:
                swaps = fault is Fault.REORDER
                self._hold(_Held(0.0, swaps, forward, address, message, on_sent))
                return
            swapped = [] if closed or fault in {Fault.DROP, Fault.FAIL} else self._swap(address)
        if closed:
            tell(on_sent, _closed(address))
            return
        self._do(fault, forward, address, message, on_sent)
        self._pass_on(swapped)

    def _do(
        self,
        fault: Fault | None,
        forward: Send,
        address: Address,
        message: Message,
        on_sent: OnSent,
    ) -> None:
        match fault:
            case Fault.DROP:
                self._count(fault)
                tell(on_sent, Receipt(address.topic, address.partition or 0, -1))
            case Fault.FAIL:
                self._count(fault)
                tell(on_sent, self._faults.error(f"injected: not sent to {address.topic!r}"))
            case Fault.LOSE_ACK:
                forward(address, message, self._losing_ack(address, on_sent))
            case Fault.DUPLICATE:
                self._count(fault)
                forward(address, message, on_sent)
                forward(address, message, _ignore)
            case _:
                forward(address, message, on_sent)

    def _losing_ack(self, address: Address, on_sent: OnSent) -> OnSent:
        def lose(outcome: Receipt | TransportError) -> None:
            if isinstance(outcome, TransportError):
                on_sent(outcome)
                return
            self._count(Fault.LOSE_ACK)
            on_sent(SendUncertain(f"injected: the receipt from {address.topic!r} was lost"))

        return lose

    def _count(self, fault: Fault) -> None:
        with self._lock:
            self._counts[fault] += 1

    def _hold(self, held: _Held) -> None:
        self._held.append(held._replace(due=self._clock() + self._faults.hold))
        if not held.swaps:
            self._counts[Fault.DELAY] += 1
        if self._timed and self._timer is None:
            self._timer = Thread(target=self._run, name="rpc-faulty-timer", daemon=True)
            self._timer.start()
        self._changed.notify_all()

    def _swap(self, address: Address) -> list[_Held]:
        """Take out what waits to change places with a message to that topic."""
        swapped = self._take(lambda held: held.swaps and held.address.topic == address.topic)
        self._counts[Fault.REORDER] += len(swapped)
        return swapped

    def _take(self, wanted: Callable[[_Held], bool]) -> list[_Held]:
        taken = [held for held in self._held if wanted(held)]
        self._held = [held for held in self._held if not wanted(held)]
        return taken

    def _take_due(self) -> list[_Held]:
        now = self._clock()
        return self._take(lambda held: held.due <= now)

    def _pass_on(self, sends: list[_Held]) -> None:
        for held in sends:
            held.forward(held.address, held.message, held.on_sent)

    def release(self) -> int:
        """Send everything held, in the order held, and return how many that were."""
        with self._lock:
            taken = self._take(lambda _: True)
        self._pass_on(taken)
        return len(taken)

    def release_due(self) -> int:
        """Send what has been held for its time by the clock, and return how many that were."""
        with self._lock:
            taken = self._take_due()
        self._pass_on(taken)
        return len(taken)

    def _run(self) -> None:
        while (due := self._wait_for_due()) is not None:
            self._pass_on(due)

    def _wait_for_due(self) -> list[_Held] | None:
        with self._lock:
            while not self._closed:
                if due := self._take_due():
                    return due
                soonest = min((held.due for held in self._held), default=None)
                self._changed.wait(None if soonest is None else soonest - self._clock())
        return None

    def close(self, timeout: float) -> None:
        """Fail what is held with `TransportClosed`, and close the inner transport; again: nothing.

        Within `timeout` seconds, the timer's thread included.
        """
        end = time.monotonic() + timeout
        with self._lock:
            if self._closed:
                return
            self._closed = True
            unsent, self._held = self._held, []
            self._changed.notify_all()
        for held in unsent:
            tell(held.on_sent, _closed(held.address))
        if self._timer is not None and self._timer is not current_thread():
            self._timer.join(max(0.0, end - time.monotonic()))
        super().close(max(0.0, end - time.monotonic()))


def _closed(address: Address) -> TransportClosed:
    return TransportClosed(
        f"not sent to {address.topic!r}: the transport is closed; open a new one"
    )


def _ignore(outcome: Receipt | TransportError) -> None:
    """The second copy of a duplicate has nobody to tell."""
