"""Calls in flight: registered, sent, tried again, matched with replies, and ended exactly once.

One lock guards the table of pending calls, the retries to come and the budget. It is held around
each step of theirs, never while something is sent or a call is ended: both may run foreign code.
No thread here: the channel's reader brings replies, its timer calls `tick`.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from contracts import Certainty, RpcError, Unavailable
from rpc.call import Call
from rpc.calls import CallState, PendingCalls
from rpc.clock import Clock
from rpc.deadline import Deadlines
from rpc.envelope import EnvelopeError, Reply, cancel_message, decode_reply, request_message
from rpc.retry import RetryBudget, allows, delay
from rpc.transport_errors import to_rpc_error
from transports.base import Address, Delivery, Receipt, Send
from transports.errors import SendUncertain, TransportError, Unreachable
from transports.log import get_logger

__all__ = ["InFlight", "closed_error"]

_log = get_logger("rpc.channel")


class InFlight:
    """The calls of one channel, from `submit` to their end."""

    def __init__(
        self,
        client: str,
        *,
        max_pending: int,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._client = client
        self._wire_client = client.encode()
        self._clock = clock
        self._random = random
        self.wake: Callable[[], object] = bool
        """Set by whoever keeps time: called when something is due before `next_tick` said so."""
        self._lock = threading.Lock()
        self._pending: PendingCalls[Call[Any]] = PendingCalls(max_pending)
        self._again: Deadlines[bytes] = Deadlines()
        self._budget = RetryBudget()
        self._next_tick: float | None = None
        self._send: Send | None = None
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

    def open(self, send: Send) -> None:
        """Say how messages are sent; before the first `submit`."""
        self._send = send

    # -- calls go out --------------------------------------------------------------------------

    def submit(self, call: Call[Any]) -> None:
        """Register `call` and send it. What fails ends the call; nothing is raised."""
        try:
            with self._lock:
                if self._pending.closed:
                    raise closed_error(call.route.full_name)
                if self._broken is not None:
                    raise to_rpc_error(self._broken, call.route.full_name)
                self._budget.deposit()
                self._pending.register(call.call_id, call, call.deadline)
                due = self._resend_at(call)
                # Under the lock: whoever ends the call now must know what is about to be sent.
                call.count_attempt()
        except RpcError as error:
            call.finish(CallState.FAILED, error)
            return
        self._watch(min(due, call.deadline))
        self._attempt(call)

    def cancel(self, call: Call[Any]) -> bool:
        """End `call` as cancelled and tell the server, where it is known to have the request."""
        with self._lock:
            if self._pending.take(call.call_id) is None:
                return False
        call.finish(CallState.CANCELLED, call.cancelled())
        if call.receipt is not None:
            self._tell_cancelled(call, call.receipt)
        return True

    def _attempt(self, call: Call[Any]) -> None:
        assert self._send is not None  # noqa: S101 - a route is ready only once the channel is open
        assert call.route.constant is not None  # noqa: S101 - likewise
        message = request_message(
            call.route.constant,
            call.call_id,
            max(0.0, call.deadline - self._clock()),
            call.body,
            key=call.key,
            attempt=call.attempt,
            metadata=call.metadata,
        )
        self._send(call.route.address, message, partial(self._sent, call, call.attempt))

    def _sent(self, call: Call[Any], attempt: int, sent: Receipt | TransportError) -> None:
        """Note what became of an attempt's message."""
        if isinstance(sent, TransportError):
            error = to_rpc_error(sent, call.route.full_name)
            lasting = not isinstance(sent, Unreachable | SendUncertain)
            if not self._attempt_failed(call, attempt, error, lasting=lasting):
                call.unsent(error)
        else:
            call.sent_to(sent)
            if call.state is CallState.CANCELLED:
                self._tell_cancelled(call, sent)

    def _attempt_failed(
        self, call: Call[Any], attempt: int, error: RpcError, *, lasting: bool = False
    ) -> bool:
        """Try `call` again where policy, deadline and budget allow it, else end it.

        A call of which another attempt may still be answered goes on waiting, if this one was
        certainly not executed. `lasting`: no attempt would fare better. Return False where the
        call has ended: by its deadline, or by a reply.
        """
        with self._lock:
            if error.certainty is Certainty.NOT_EXECUTED:
                call.not_executed(attempt)
            if self._pending.get(call.call_id) is not call:
                return False
            due = None if lasting else self._retry_at(call, error)
            if due is not None:
                call.last_error = error
                self._again.add(call.call_id, due)
            elif error.certainty is Certainty.NOT_EXECUTED and call.unresolved:
                return True
            else:
                self._pending.take(call.call_id)
                self._again.remove(call.call_id)
        if due is None:
            call.finish(CallState.FAILED, error)
        else:
            self._watch(due)
        return True

    def _retry_at(self, call: Call[Any], error: RpcError) -> float | None:
        route = call.route
        if not allows(route.retry, error, call.attempt, idempotent=route.spec.idempotent):
            return None
        now = self._clock()
        due = now + delay(route.retry, call.attempt, self._random)
        return due if due < call.deadline and self._budget.withdraw(now) else None

    def _resend_at(self, call: Call[Any]) -> float:
        """Note when an idempotent call without a reply is to be sent once more."""
        patience = call.route.retry.attempt_timeout
        if patience is None or not call.route.spec.idempotent:
            return call.deadline
        due = self._clock() + patience
        if call.attempt + 1 < call.route.retry.attempts and due < call.deadline:
            self._again.add(call.call_id, due)
        return due

    def _tell_cancelled(self, call: Call[Any], receipt: Receipt) -> None:
        assert self._send is not None  # noqa: S101 - the call was sent before
        message = cancel_message(call.call_id, call.route.full_name, self._client, call.key)
        self._send(Address(receipt.topic, receipt.partition), message, lambda _sent: None)

    # -- replies come in -----------------------------------------------------------------------

    def receive(self, delivery: Delivery) -> None:
        """Take one message from the inbox; what is no reply to a pending call is counted."""
        try:
            reply = decode_reply(delivery.message)
        except EnvelopeError:
            self._count_foreign()
            return
        if reply.client is not None and reply.client != self._wire_client:
            self._count_foreign()
            return
        call = self._take_for(reply)
        if call is not None:
            call.finish(CallState.COMPLETED, reply)

    def _take_for(self, reply: Reply) -> Call[Any] | None:
        with self._lock:
            call = self._pending.get(reply.call_id)
            if call is None:
                self._pending.late += 1
                return None
            if reply.method is not None and reply.method != call.route.wire_method:
                self._pending.foreign += 1
                return None
            if reply.code is None or reply.code not in call.route.retry.codes:
                self._pending.take(reply.call_id)
                self._again.remove(reply.call_id)
                return call
        self._refused(call, reply)
        return None

    def _refused(self, call: Call[Any], reply: Reply) -> None:
        """Treat a reply whose code is worth a retry as a failed attempt."""
        error = call.route.read(reply).error
        if isinstance(error, RpcError):
            self._attempt_failed(call, reply.attempt, error)

    def _count_foreign(self) -> None:
        with self._lock:
            self._pending.foreign += 1

    # -- time passes ---------------------------------------------------------------------------

    def next_tick(self) -> float | None:
        """Return when `tick` must be called at the latest, None while nothing waits."""
        with self._lock:
            moments = (self._pending.next_deadline(), self._again.next_deadline())
            self._next_tick = min((at for at in moments if at is not None), default=None)
            return self._next_tick

    def tick(self) -> None:
        """End the calls whose deadline has passed; send again what is due."""
        now = self._clock()
        with self._lock:
            expired = self._pending.expire(now)
            for call in expired:
                self._again.remove(call.call_id)
            again = [self._pending.get(call_id) for call_id in self._again.expire(now)]
            calls = [call for call in again if call is not None and self._may_resend(call, now)]
        for call in expired:  # all of them before the first log line, which may fail
            call.finish(CallState.EXPIRED, call.expired())
        for call in calls:
            self._attempt(call)
        for call in expired:
            certainty = call.certainty.value
            _log.info("call.expired", **_fields(call), elapsed=call.timeout, certainty=certainty)
        for call in calls:
            elapsed = now - (call.deadline - call.timeout)
            _log.info("call.retried", **_fields(call), elapsed=elapsed)

    def close(self) -> None:
        """End every pending call with an error; later ones fail at once."""
        with self._lock:
            calls = self._pending.drain()
            self._pending.closed = True
            self._again = Deadlines()
        for call in calls:
            error = closed_error(call.route.full_name)
            error.certainty = call.certainty
            call.finish(CallState.CLOSED, error)

    def _may_resend(self, call: Call[Any], now: float) -> bool:
        if call.last_error is None and not self._budget.withdraw(now):
            return False  # the patience of an idempotent call ran out, and so did the budget
        call.last_error = None
        self._resend_at(call)
        call.count_attempt()
        return True

    def inbox_failed(self, error: TransportError | None) -> None:
        """End every pending call, since no reply can be read, and fail new ones; None: it works."""
        with self._lock:
            self._broken = error
            calls = [] if error is None else self._pending.drain()
            self._again = Deadlines() if calls else self._again
        for call in calls:
            told = to_rpc_error(error or TransportError(), call.route.full_name)
            told.certainty = call.certainty
            call.finish(CallState.FAILED, told)

    def after_fork(self) -> None:
        """Forget everything, in a child process: the parent's threads are not here."""
        self._lock = threading.Lock()
        if self._send is not None:
            self._pending.drain()
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


def closed_error(method: str) -> Unavailable:
    """Return the error of a call on a channel that is closed, or was opened before a fork."""
    return Unavailable(
        message=f"{method}: the channel is closed, or was opened before a fork; make another",
        certainty=Certainty.NOT_EXECUTED,
    )
