"""Calls in flight: registered, sent, sent again after an error, and ended exactly once.

One lock guards the tracker, which knows and decides. It is held around each step of it, never while
something is sent or a call is ended: both may run foreign code. No thread here: whoever makes or
cancels a call comes with its own, and the transport with one that tells what became of a message.
`rpc.replies` takes what comes in, `rpc.timekeeper` what is due; both under the same lock.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from contracts import Certainty, RpcError
from rpc.call import Call
from rpc.call_errors import cancelled_error, closed_error, no_room_error, nobody_error
from rpc.calls import CallState
from rpc.clock import Clock
from rpc.interceptor import Outcome
from rpc.peer import Peer
from rpc.reply import Reply
from rpc.sender import Sender
from rpc.tracker import Attempt, Tracker
from rpc.transport_errors import to_rpc_error
from transports.base import Receipt
from transports.errors import SendUncertain, TransportError, Unreachable

__all__ = ["InFlight"]


class InFlight:
    """The calls of one channel, from `submit` to their end."""

    def __init__(
        self,
        *,
        max_pending: int,
        max_pending_bytes: int,
        wait_for_room: bool,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self.clock = clock
        self._wait_for_room = wait_for_room
        self.wake: Callable[[], object] = bool
        """Set by whoever keeps time: called when something is due before `alarm`."""
        self.alarm: float | None = None
        """When time is looked at next, as whoever keeps it says; None: when it is woken."""
        self.lock = threading.Lock()
        self.tracker = Tracker(max_pending, max_pending_bytes, random)
        """What is known; only with `lock`."""
        self._pending, self._waiting = self.tracker.pending, self.tracker.waiting
        self._admitting = False
        self._sender: Sender | None = None
        self._broken: TransportError | None = None

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def opened(self) -> bool:
        """Whether calls can be sent, or could."""
        return self._sender is not None

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
        with self.lock:
            return self.tracker.peers.get(service, topic)

    def first_question(self, peer: Peer) -> bool:
        """Tell whether the broker is to be asked about `peer` because nobody has yet."""
        with self.lock:
            return not peer.presence.asked and peer.presence.ask(self.clock())

    # -- calls go out --------------------------------------------------------------------------

    def submit(self, call: Call[Any]) -> None:
        """Register `call` and send it. What fails ends the call; nothing is raised.

        Where there is no room and calls wait for it, `call.room` is set before this returns.
        """
        attempt: Attempt | None = None
        try:
            with self.lock:
                if self._pending.closed or self._broken is not None:
                    raise self._refusal(call)
                why = self.tracker.full(call)
                if why is None:
                    attempt, due = self.tracker.admit(call, self.clock())
                elif self._wait_for_room:
                    call.wait_for_room()
                    due = call.deadline
                    self._waiting.add(call.call_id, call, due)
                else:
                    raise no_room_error(call.route.full_name, why, 0.0)
        except RpcError as error:
            call.finish(CallState.FAILED, error)
            return
        if self.alarm is None or due < self.alarm:
            self.wake()
        if attempt is not None:
            assert self._sender is not None  # noqa: S101 - a route is ready once this is open
            self._sender.request(attempt, _OnSent(self, attempt))

    def cancel(self, call: Call[Any]) -> bool:
        """End `call` as cancelled and tell the servers that are known to have the request."""
        with self.lock:
            if not self.tracker.take(call) and self._waiting.take(call.call_id) is None:
                return False
        self.end(call, CallState.CANCELLED, cancelled_error(call))
        self.give_up(call)
        self.admit_waiting()
        return True

    def _refusal(self, call: Call[Any]) -> RpcError:
        if self._broken is None or self._pending.closed:
            return closed_error(call.route.full_name)
        return to_rpc_error(self._broken, call.route.full_name)

    # -- attempts ------------------------------------------------------------------------------

    def send(self, attempt: Attempt) -> None:
        """Send an attempt; the tracker has counted it already."""
        assert self._sender is not None  # noqa: S101 - a route is ready once the channel is open
        self._sender.request(attempt, _OnSent(self, attempt))

    def sent(self, attempt: Attempt, sent: Receipt | TransportError) -> None:
        """Note what became of an attempt's message."""
        call, number = attempt.call, attempt.number
        if isinstance(sent, TransportError):
            error = to_rpc_error(sent, call.route.full_name)
            lasting = not isinstance(sent, Unreachable | SendUncertain)
            call.not_sent(number, error)
            self.attempt_failed(call, number, error, lasting=lasting)
            return
        with self.lock:
            self.tracker.acknowledged(attempt, sent, self.clock())
        call.tell_sent()
        if call.state is CallState.CANCELLED or (call.answered and call.answered != number):
            self._tell(call, [sent])

    def attempt_failed(
        self,
        call: Call[Any],
        attempt: int,
        error: RpcError,
        *,
        lasting: bool = False,
        pushback: float | None = None,
    ) -> None:
        """Try `call` again where policy, deadline and budget allow it, else end it.

        `lasting`: no attempt would fare better. `pushback`: what the server asks for. Nothing where
        the call has ended: by its deadline, or by a reply.
        """
        with self.lock:
            ends, due = self.tracker.failed(
                call, attempt, error, self.clock(), lasting=lasting, pushback=pushback
            )
        if ends:
            self.end(call, CallState.FAILED, error)
            self.admit_waiting()
        elif due is not None:
            self.watch(due)

    def give_up(self, call: Call[Any]) -> None:
        """Tell the servers that have attempts of an ended call, except the one that answered."""
        if losers := call.losers:
            self._tell(call, losers)

    def _tell(self, call: Call[Any], receipts: Sequence[Receipt]) -> None:
        assert self._sender is not None  # noqa: S101 - the call was sent before
        self._sender.cancel(call, receipts)

    def watch(self, due: float) -> None:
        """Have whoever keeps time look at this moment, at the latest."""
        # A stale `alarm` only wakes it once too often, or was set after what we registered.
        if self.alarm is None or due < self.alarm:
            self.wake()

    # -- calls end -----------------------------------------------------------------------------

    def end(self, call: Call[Any], state: CallState, end: Reply | Outcome | RpcError) -> None:
        """End a call that was taken out of the tracker; `admit_waiting` is to follow."""
        call.finish(state, end)
        room = call.room
        if room is not None and not room.done():
            room.set(None)

    def end_unserved(self, calls: Sequence[Call[Any]]) -> None:
        """End calls that were taken out because nobody serves them."""
        for call in calls:
            peer = call.route.peer
            error = nobody_error(call.route.full_name, peer.service, peer.topic, call.certainty)
            self.end(call, CallState.FAILED, error)
            self.give_up(call)

    def admit_waiting(self) -> None:
        """Send what has waited for room, as far as there is some; one thread at a time does."""
        if not self._waiting.calls:
            return
        with self.lock:
            if self._admitting:
                return  # whoever is at it looks again before it stops
            self._admitting = True
        try:
            while self._admit():
                pass
        except BaseException:  # a Ctrl-C too: others must be able to go on
            self._admitting = False
            raise

    def _admit(self) -> bool:
        """Send one call that has waited for room; False once there is none, or no room."""
        with self.lock:
            admitted = self.tracker.admit_waiting(self.clock())
            if admitted is None:
                self._admitting = False
                return False
        call, attempt, due = admitted
        if call.room is not None:
            call.room.set(None)
        self.watch(due)
        if attempt is not None:
            self.send(attempt)
        return True

    def close(self) -> None:
        """End every call with an error; later ones fail at once."""
        with self.lock:
            calls = self.tracker.drain()
            self._pending.closed = True
        for call in calls:
            error = closed_error(call.route.full_name)
            error.certainty = call.certainty
            self.end(call, CallState.CLOSED, error)

    def inbox_failed(self, error: TransportError | None) -> None:
        """End every call, since no reply can be read, and fail new ones; None: it works."""
        with self.lock:
            self._broken = error
            calls = [] if error is None else self.tracker.drain()
        for call in calls:
            told = to_rpc_error(error or TransportError(), call.route.full_name)
            told.certainty = call.certainty
            self.end(call, CallState.FAILED, told)

    def after_fork(self) -> None:
        """Forget everything, in a child process: the parent's threads are not here."""
        self.lock = threading.Lock()
        if not self.opened:
            return
        for call in self.tracker.drain():
            error = closed_error(call.route.full_name)
            error.certainty = Certainty.UNKNOWN  # it goes on in the parent
            call.abandon(error)
        self._pending.closed = True


class _OnSent(msgspec.Struct, eq=False, gc=False):
    """What a transport tells the fate of an attempt's message; a closure would be three objects."""

    in_flight: InFlight
    attempt: Attempt

    def __call__(self, sent: Receipt | TransportError) -> None:
        self.in_flight.sent(self.attempt, sent)
