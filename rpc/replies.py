"""Replies come in: matched with calls in batches, as they arrive, and the calls ended.

On the thread that reads the inbox. A batch is matched in one step under the lock; calls end after
that, in the order of their replies, and each event loop that waits for some of them is woken once.

What callbacks send is sent at the end of their batch. Where one brings the replies to all that is
in flight, client and server would take turns: each waits for the other to go through everything.
So a batch ends no later than with half of what is in flight, where that is worth a request, and the
server has something to do while the client goes through the rest.
"""

from collections.abc import Sequence
from typing import Any

from contracts import RpcError
from rpc.call import Call
from rpc.calls import CallState
from rpc.headers import EnvelopeError
from rpc.inflight import InFlight
from rpc.instance import Instance
from rpc.reply import Reply, ReplyReader, is_clock
from transports import failpoints
from transports.base import Delivery
from transports.together import together

__all__ = ["Replies"]

_BATCH = 128  # replies for which the lock is held at once: some tens of microseconds


class Replies:
    """What comes into the inbox of one channel. From one thread at a time."""

    def __init__(self, instance: Instance, in_flight: InFlight) -> None:
        self._instance = instance
        self._in_flight = in_flight
        self._reader = ReplyReader()
        self.least = _BATCH
        """How many replies make a batch in any case: see `Transport.worth_a_request`."""

    def receive(self, deliveries: Sequence[Delivery]) -> None:
        """Take messages from the inbox; what is no reply to a pending call is counted."""
        while deliveries:
            most = min(_BATCH, max(1, self.least, len(self._in_flight) // 2))
            self._take(deliveries[:most])
            deliveries = deliveries[most:]

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        if failpoints.on:
            deliveries = [one for one in deliveries if not failpoints.hit("client.reply")]
        replies, foreign = self._read(deliveries)
        in_flight = self._in_flight
        with in_flight.lock:
            in_flight.tracker.pending.foreign += foreign
            answers, ready = in_flight.tracker.answer(replies, in_flight.clock())
        with together():
            for attempt in ready:  # before what is called from here on
                in_flight.send(attempt)
            for call, reply, ends in answers:
                if not ends:
                    self._failed(call, reply)
                    continue
                call.finish(CallState.COMPLETED, reply)
                if call.attempt > 1:
                    in_flight.give_up(call)
            in_flight.admit_waiting()

    def _read(self, deliveries: Sequence[Delivery]) -> tuple[list[Reply], int]:
        """Return the replies to this client, and how many messages are none."""
        read, client = self._reader.read, self._instance.name.encode()
        replies: list[Reply] = []
        foreign = 0
        for delivery in deliveries:
            try:
                reply = read(delivery.message)
            except EnvelopeError:
                if not is_clock(delivery.message):  # by which a server learns the broker's time
                    foreign += 1
                continue
            if reply.client is None or reply.client == client:
                replies.append(reply)
            else:
                foreign += 1
        return replies, foreign

    def _failed(self, call: Call[Any], reply: Reply) -> None:
        """Try again after a reply that says so, or end the call with it."""
        error = call.route.read(reply).error
        if isinstance(error, RpcError):
            self._in_flight.attempt_failed(call, reply.attempt, error, pushback=reply.retry_after)
