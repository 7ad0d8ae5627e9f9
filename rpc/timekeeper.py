"""Time passes: calls end at their deadlines, attempts are sent again, and it is asked who serves.

On the channel's timer thread, but for `learned`, which comes with the thread that asked.
"""

from collections.abc import Callable
from typing import Any

from rpc.call import Call
from rpc.call_errors import expired_error, no_room_error
from rpc.calls import CallState
from rpc.inflight import InFlight
from rpc.peer import Peer
from rpc.tracker import Due
from transports.base import GroupState
from transports.log import get_logger
from transports.together import together

__all__ = ["Timekeeper"]

_log = get_logger("rpc.channel")


class Timekeeper:
    """Does for the calls of one channel what is due."""

    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight
        self.ask: Callable[[Peer], object] = bool
        """Set by whoever can ask the broker about a service; the answer comes by `learned`."""

    def next_tick(self) -> float | None:
        """Return when `tick` must be called at the latest, None while nothing waits."""
        in_flight = self._in_flight
        with in_flight.lock:
            in_flight.alarm = in_flight.tracker.next_deadline()
            return in_flight.alarm

    def tick(self) -> None:
        """End the calls whose deadline has passed; send again what is due; ask who serves."""
        while self._step():
            pass

    def _step(self) -> bool:
        """Do some of what is due; tell whether there may be more."""
        in_flight = self._in_flight
        now = in_flight.clock()
        with in_flight.lock:
            due = in_flight.tracker.due(now)
            why = in_flight.tracker.pending.full(0) or "other calls wait for room before it"
        with together():
            for call in due.expired:  # all of them before the first log line, which may fail
                receipt, presence = call.receipt, call.route.peer.presence
                seen = "" if receipt is None else presence.told(receipt, now)
                in_flight.end(call, CallState.EXPIRED, expired_error(call, seen))
            for call in due.turned_away:
                error = no_room_error(call.route.full_name, why, call.timeout)
                in_flight.end(call, CallState.FAILED, error)
            in_flight.end_unserved(due.unserved)
            in_flight.admit_waiting()
        for attempt in due.again:
            in_flight.send(attempt)
        for peer in due.asks:
            self.ask(peer)
        _tell(due, now)
        return due.more

    def learned(self, peer: Peer, state: GroupState | None, *, off: bool) -> None:
        """Take what the broker said of a service: calls that waited for one are sent, or fail."""
        in_flight = self._in_flight
        with in_flight.lock:
            ready, lost = in_flight.tracker.learned(peer, state, in_flight.clock(), off=off)
            due = in_flight.tracker.next_deadline()
        if due is not None:
            in_flight.watch(due)
        for attempt in ready:
            in_flight.send(attempt)
        in_flight.end_unserved(lost)
        in_flight.admit_waiting()


def _tell(due: Due, now: float) -> None:
    """Log what was due."""
    for call in due.expired:
        certainty = call.certainty.value
        _log.info("call.expired", **_fields(call), elapsed=call.timeout, certainty=certainty)
    for attempt in due.again:
        elapsed = now - (attempt.call.deadline - attempt.call.timeout)
        log = _log.info if attempt.retried else _log.debug  # hedges are everyday
        event = "call.retried" if attempt.retried else "call.hedged"
        log(event, **_fields(attempt.call), elapsed=elapsed)


def _fields(call: Call[Any]) -> dict[str, object]:
    spec = call.route.spec
    return {
        "service": spec.service,
        "method": spec.name,
        "call_id": call.call_id.hex(),
        "attempt": call.attempt,
    }
