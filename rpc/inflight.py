"""Calls in flight: registered, sent, sent again, matched with replies, and ended exactly once.

One lock guards the tracker, which knows and decides. It is held around each step of it, never while
something is sent or a call is ended: both may run foreign code. No thread here: the channel's
reader brings replies, its timer calls `tick`, its watch `learned`.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from contracts import RpcError
from rpc.call import Call
from rpc.call_errors import closed_error, no_room_error, nobody_error
from rpc.calls import CallState
from rpc.clock import Clock
from rpc.completion import Completion
from rpc.headers import EnvelopeError
from rpc.interceptor import Outcome
from rpc.peer import Peer
from rpc.reply import Reply, decode_reply, is_clock
from rpc.sender import Sender
from rpc.tracker import Attempt, Tracker
from rpc.transport_errors import to_rpc_error
from transports import failpoints
from transports.base import Delivery, GroupState, Receipt
from transports.errors import SendUncertain, TransportError, Unreachable
from transports.log import get_logger

__all__ = ["InFlight"]

_log = get_logger("rpc.channel")


class InFlight:
    """The calls of one channel, from `submit` to their end."""

    def __init__(
        self,
        client: str,
        *,
        max_pending: int,
        max_pending_bytes: int,
        wait_for_room: bool,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._wire_client = client.encode()
        self._clock = clock
        self._wait_for_room = wait_for_room
        self.wake: Callable[[], object] = bool
        """Set by whoever keeps time: called when something is due before `next_tick` said so."""
        self.ask: Callable[[Peer], object] = bool
        """Set by whoever can ask the broker about a service; the answer comes by `learned`."""
        self._lock = threading.Lock()
        self._tracker = Tracker(max_pending, max_pending_bytes, random)
        self._pending, self._waiting = self._tracker.pending, self._tracker.waiting
        self._admitting = False
        self._next_tick: float | None = None
        self._sender: Sender | None = None
        self._broken: TransportError | None = None

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def late(self) -> int:
        """Replies that came after their call had ended, or twice."""
        return self._pending.late

    @property
    def foreign(self) -> int:
        """Messages in the inbox that are no replies to this client's calls."""
        return self._pending.foreign

    def open(self, sender: Sender) -> None:
        """Say how messages are sent; before the first `submit`."""
        self._sender = sender

    def peer(self, service: str, topic: str) -> Peer:
        """Return what is known of a service, for the routes that lead there."""
        with self._lock:
            return self._tracker.peers.get(service, topic)

    def first_question(self, peer: Peer) -> bool:
        """Tell whether the broker is to be asked about `peer` because nobody has yet."""
        with self._lock:
            return not peer.presence.asked and peer.presence.ask(self._clock())

    # -- calls go out --------------------------------------------------------------------------

    def submit(self, call: Call[Any]) -> None:
        """Register `call` and send it. What fails ends the call; nothing is raised.

        Where there is no room and calls wait for it, `call.room` is set before this returns.
        """
        attempt: Attempt | None = None
        try:
            with self._lock:
                self._check_open(call)
                why = self._tracker.full(call)
                if why is None:
                    attempt, due = self._tracker.admit(call, self._clock())
                elif self._wait_for_room:
                    call.room, due = Completion(), call.deadline
                    self._waiting.add(call.call_id, call, due)
                else:
                    raise no_room_error(call.route.full_name, why, 0.0)
        except RpcError as error:
            call.finish(CallState.FAILED, error)
            return
        self._watch(due)
        if attempt is not None:
            self._attempt(attempt)

    def cancel(self, call: Call[Any]) -> bool:
        """End `call` as cancelled and tell the servers that are known to have the request."""
        with self._lock:
            if not self._tracker.take(call) and self._waiting.take(call.call_id) is None:
                return False
        self._end(call, CallState.CANCELLED, call.cancelled())
        self._give_up(call)
        return True

    def _check_open(self, call: Call[Any]) -> None:
        if self._pending.closed:
            raise closed_error(call.route.full_name)
        if self._broken is not None:
            raise to_rpc_error(self._broken, call.route.full_name)

    def _attempt(self, attempt: Attempt) -> None:
        assert self._sender is not None  # noqa: S101 - a route is ready once the channel is open
        call, number, avoid, _ = attempt
        self._sender.request(call, number, avoid, partial(self._sent, call, number))

    def _sent(self, call: Call[Any], attempt: int, sent: Receipt | TransportError) -> None:
        """Note what became of an attempt's message."""
        if isinstance(sent, TransportError):
            error = to_rpc_error(sent, call.route.full_name)
            lasting = not isinstance(sent, Unreachable | SendUncertain)
            if not self._attempt_failed(call, attempt, error, lasting=lasting):
                call.unsent(error)
            return
        with self._lock:
            self._tracker.acknowledged(call, attempt, sent, self._clock())
        call.tell_sent()
        if call.state is CallState.CANCELLED or call.answered not in {0, attempt}:
            self._tell(call, [sent])

    def _give_up(self, call: Call[Any]) -> None:
        """Tell the servers that have attempts of an ended call, except the one that answered."""
        if call.receipts and (losers := call.losers):
            self._tell(call, losers)

    def _tell(self, call: Call[Any], receipts: list[Receipt]) -> None:
        assert self._sender is not None  # noqa: S101 - the call was sent before
        self._sender.cancel(call, receipts)

    def _attempt_failed(
        self,
        call: Call[Any],
        attempt: int,
        error: RpcError,
        *,
        lasting: bool = False,
        pushback: float | None = None,
    ) -> bool:
        """Try `call` again where policy, deadline and budget allow it, else end it.

        `lasting`: no attempt would fare better. `pushback`: what the server asks for. Return False
        where the call has ended: by its deadline, or by a reply.
        """
        with self._lock:
            verdict = self._tracker.failed(
                call, attempt, error, self._clock(), lasting=lasting, pushback=pushback
            )
        if verdict is None:
            return False
        ends, due = verdict
        if ends:
            self._end(call, CallState.FAILED, error)
        elif due is not None:
            self._watch(due)
        return True

    # -- replies come in -----------------------------------------------------------------------

    def receive(self, delivery: Delivery) -> None:
        """Take one message from the inbox; what is no reply to a pending call is counted."""
        if failpoints.on and failpoints.hit("client.reply"):
            return
        try:
            reply = decode_reply(delivery.message)
        except EnvelopeError:
            if not is_clock(delivery.message):  # by which a server learns the broker's time
                self._count_foreign()
            return
        if reply.client is not None and reply.client != self._wire_client:
            self._count_foreign()
            return
        with self._lock:
            call, ends = self._tracker.answer(reply, self._clock())
        if call is None:
            return
        if ends:
            self._end(call, CallState.COMPLETED, reply)
            if call.attempt > 1:
                self._give_up(call)
        elif isinstance(error := call.route.read(reply).error, RpcError):
            self._attempt_failed(call, reply.attempt, error, pushback=reply.retry_after)

    def _count_foreign(self) -> None:
        with self._lock:
            self._pending.foreign += 1

    def learned(self, peer: Peer, state: GroupState | None, *, off: bool) -> None:
        """Take what the broker said of a service: calls that waited for one are sent, or fail."""
        with self._lock:
            ready, lost = self._tracker.learned(peer, state, self._clock(), off=off)
            due = self._tracker.next_deadline()
        if due is not None:
            self._watch(due)
        for attempt in ready:
            self._attempt(attempt)
        self._end_unserved(lost)

    def _end_unserved(self, calls: list[Call[Any]]) -> None:
        for call in calls:
            peer = call.route.peer
            error = nobody_error(call.route.full_name, peer.service, peer.topic, call.certainty)
            self._end(call, CallState.FAILED, error)
            self._give_up(call)

    # -- time passes ---------------------------------------------------------------------------

    def next_tick(self) -> float | None:
        """Return when `tick` must be called at the latest, None while nothing waits."""
        with self._lock:
            self._next_tick = self._tracker.next_deadline()
            return self._next_tick

    def tick(self) -> None:
        """End the calls whose deadline has passed; send again what is due; ask who serves."""
        now = self._clock()
        with self._lock:
            due = self._tracker.due(now)
            why = self._pending.full(0) or "other calls wait for room before it"
        for call in due.expired:  # all of them before the first log line, which may fail
            seen = "" if call.receipt is None else call.route.peer.presence.told(call.receipt, now)
            self._end(call, CallState.EXPIRED, call.expired(seen))
        for call in due.turned_away:
            error = no_room_error(call.route.full_name, why, call.timeout)
            self._end(call, CallState.FAILED, error)
        self._end_unserved(due.unserved)
        for attempt in due.again:
            self._attempt(attempt)
        for peer in due.asks:
            self.ask(peer)
        for call in due.expired:
            certainty = call.certainty.value
            _log.info("call.expired", **_fields(call), elapsed=call.timeout, certainty=certainty)
        for attempt in due.again:
            elapsed = now - (attempt.call.deadline - attempt.call.timeout)
            log = _log.info if attempt.retried else _log.debug  # hedges are everyday
            event = "call.retried" if attempt.retried else "call.hedged"
            log(event, **_fields(attempt.call), elapsed=elapsed)

    # -- calls end -----------------------------------------------------------------------------

    def _end(self, call: Call[Any], state: CallState, end: Reply | Outcome | RpcError) -> None:
        call.finish(state, end)
        if call.room is not None and not call.room.done():
            call.room.set(None)
        if self._waiting:
            self._admit_waiting()

    def _admit_waiting(self) -> None:
        """Send what has waited for room, as far as there is some; one thread at a time does."""
        with self._lock:
            if self._admitting:
                return  # whoever is at it looks again before it stops
            self._admitting = True
        while True:
            with self._lock:
                admitted = self._tracker.admit_waiting(self._clock())
                if admitted is None:
                    self._admitting = False
                    return
            call, attempt, due = admitted
            if call.room is not None:
                call.room.set(None)
            self._watch(due)
            if attempt is not None:
                self._attempt(attempt)

    def close(self) -> None:
        """End every call with an error; later ones fail at once."""
        with self._lock:
            calls = self._tracker.drain()
            self._pending.closed = True
        for call in calls:
            error = closed_error(call.route.full_name)
            error.certainty = call.certainty
            self._end(call, CallState.CLOSED, error)

    def inbox_failed(self, error: TransportError | None) -> None:
        """End every call, since no reply can be read, and fail new ones; None: it works."""
        with self._lock:
            self._broken = error
            calls = [] if error is None else self._tracker.drain()
        for call in calls:
            told = to_rpc_error(error or TransportError(), call.route.full_name)
            told.certainty = call.certainty
            self._end(call, CallState.FAILED, told)

    def after_fork(self) -> None:
        """Forget everything, in a child process: the parent's threads are not here."""
        self._lock = threading.Lock()
        if self._sender is not None:
            self._tracker.drain()
            self._pending.closed = True

    def _watch(self, due: float) -> None:
        # A stale `_next_tick` only wakes the timer once too often, or was set after our register.
        if self._next_tick is None or due < self._next_tick:
            self.wake()


def _fields(call: Call[Any]) -> dict[str, object]:
    spec = call.route.spec
    return {
        "service": spec.service,
        "method": spec.name,
        "call_id": call.call_id.hex(),
        "attempt": call.attempt,
    }
