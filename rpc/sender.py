"""What a channel writes: the attempts of its calls, and the word that a call is given up."""

from collections.abc import Callable, Collection
from typing import Any

from rpc.call import Call
from rpc.clock import Clock
from rpc.instance import Instance
from rpc.request import cancel_message, request_message
from rpc.tracker import Attempt
from transports import failpoints
from transports.base import Address, OnSent, Receipt, Send

__all__ = ["Sender"]


class Sender:
    """Makes messages and hands them to the transport. Any thread; waits for nothing."""

    def __init__(
        self, instance: Instance, clock: Clock, send: Send, now: Callable[[], float | None]
    ) -> None:
        self._instance = instance
        self._clock = clock
        self._send = send
        self._now = now

    def request(self, attempt: Attempt, on_sent: OnSent) -> None:
        """Send this attempt of a call, to none of the partitions it avoids if there are others."""
        if failpoints.on and failpoints.hit("client.before_send"):
            return
        call = attempt.call
        route = call.route
        assert route.constant is not None  # noqa: S101 - a call begins once its route is ready
        message = request_message(
            route.constant,
            call.call_id,
            call.deadline - self._clock(),
            call.body,
            call.key,
            attempt.number,
            call.terms.metadata,
            self._now(),
            call.idempotency_key,
        )
        self._send(
            route.address,
            message,
            on_sent,
            avoid=attempt.avoid,
            once=route.once,
            packed=route.peer.frames,
        )
        if failpoints.on:
            failpoints.hit("client.after_send")

    def cancel(self, call: Call[Any], receipts: Collection[Receipt]) -> None:
        """Tell the servers where attempts of `call` stand that nobody waits for it any more."""
        message = cancel_message(call.call_id, call.route.full_name, self._instance.name, call.key)
        packed = call.route.peer.frames
        for partition in {(one.topic, one.partition) for one in receipts}:
            self._send(Address(*partition), message, _ignore, packed=packed)


def _ignore(_sent: object) -> None:
    """What becomes of a cancel record changes nothing."""
