"""What is known of the calls of one channel, and what follows: the steps between two sends.

Here pending calls, those that wait for room, the attempts to come, and what was learned of services
and their partitions come together. Pure: every moment is an argument. `rpc.inflight` holds its lock
around each step, and sends and ends what the step returns after letting it go.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

import msgspec

from contracts import Certainty, RpcError
from rpc.call import Call
from rpc.calls import PendingCalls
from rpc.peer import Peer, Peers
from rpc.presence import ASK_HELD, CHECK_AFTER, HOLD
from rpc.reply import Reply
from rpc.resends import Resends
from rpc.waiting import WaitingRoom
from transports.base import GroupState, Receipt

__all__ = ["Answer", "Attempt", "Due", "Tracker"]

_AT_ONCE = 64  # calls that are looked at in one step: some milliseconds, on a busy machine


class Attempt(msgspec.Struct, eq=False, gc=False):
    """One attempt that is to be sent now."""

    call: Call[Any]
    number: int
    avoid: Collection[int]
    """Partitions that it shall not go to, if there are others."""
    retried: bool = False
    """Whether the one before it has failed."""


class Due(NamedTuple):
    """What is to be done at one moment."""

    expired: list[Call[Any]]
    turned_away: list[Call[Any]]
    """Those that found no room in their time."""
    again: list[Attempt]
    unserved: list[Call[Any]]
    """Those that nobody is there to serve."""
    asks: list[Peer]
    """The services whose groups are to be asked about."""
    more: bool
    """Whether that may not be all."""


Answer = tuple[Call[Any], Reply, bool]
"""A pending call, the reply to it, and whether the call has ended so; else an attempt failed."""


class Tracker:
    """The calls of one channel. Not thread-safe."""

    def __init__(
        self, max_pending: int, max_pending_bytes: int, random: Callable[[], float]
    ) -> None:
        self.pending: PendingCalls[Call[Any]] = PendingCalls(max_pending, max_pending_bytes)
        self.waiting: WaitingRoom[Call[Any]] = WaitingRoom()
        self.peers = Peers()
        self._resends = Resends(random)

    def full(self, call: Call[Any]) -> str | None:
        """Tell why there is no room for `call` now; None: there is."""
        if self.waiting.calls:
            return "other calls wait for room already"
        return self.pending.full(len(call.body))

    def admit(self, call: Call[Any], now: float) -> tuple[Attempt | None, float]:
        """Register `call`; return its first attempt, and when something of it is due.

        None instead of an attempt: it is not sent yet, for lately nobody was there to serve it.
        """
        call.began = now
        route = call.route
        peer = route.peer
        self._resends.deposit()
        if peer.presence.empty_since is not None and not call.terms.wait_for_ready:
            call.due = min(now + HOLD, call.deadline)
            self.pending.register(call)
            self.peers.check(peer, now)
            return None, now
        # Here and not where it is sent: whoever ends the call now must know that it will be.
        call.count_attempt()
        due = call.due = self._resends.hedge(call, now) if route.repeatable else call.deadline
        self.pending.register(call)
        check = now + min(call.timeout / 2, CHECK_AFTER)
        if check < peer.check_at and not peer.presence.off:
            self.peers.check(peer, check)
            due = min(due, check)
        avoid: Collection[int] = ()
        if call.key is None:
            health = peer.health
            avoid = health.avoided if now < health.review_at else health.stalled(now)
        return Attempt(call, 1, avoid), due

    def admit_waiting(self, now: float) -> tuple[Call[Any], Attempt | None, float] | None:
        """Admit the call that has waited longest; None: there is none, or no room for it."""
        call = self.waiting.first()
        if call is None or self.pending.full(len(call.body)):
            return None
        self.waiting.take(call.call_id)
        return call, *self.admit(call, now)

    def take(self, call: Call[Any]) -> bool:
        """Take a pending call out; whoever gets True ends it."""
        return self.pending.take(call.call_id) is not None

    def drain(self) -> list[Call[Any]]:
        """Take all calls out."""
        return self.waiting.drain() + self.pending.drain()

    # -- what becomes of attempts --------------------------------------------------------------

    def acknowledged(self, attempt: Attempt, receipt: Receipt, now: float) -> None:
        """Note where an attempt stands."""
        call = attempt.call
        call.sent_to(attempt.number, receipt)
        route = call.route
        if self.pending.get(call.call_id) is call:
            route.peer.health.sent(receipt.partition, now + route.latency.patience)
        elif call.answered == attempt.number:  # the reply was faster than the acknowledgement
            route.peer.health.replied(receipt.partition)

    def failed(
        self,
        call: Call[Any],
        attempt: int,
        error: RpcError,
        now: float,
        *,
        lasting: bool,
        pushback: float | None,
    ) -> tuple[bool, float | None]:
        """Note that an attempt failed; return whether the call is to end so, and the next attempt.

        Neither where it has ended: by its deadline, or by a reply. A call of which another attempt
        may still be answered goes on waiting, if this one was certainly not executed.
        """
        known = not call.may_have_run(attempt)
        if error.certainty is Certainty.NOT_EXECUTED:
            call.not_executed(attempt)
        if known or self.pending.get(call.call_id) is not call:
            return False, None
        due = None if lasting else self._resends.retry(call, error, now, pushback)
        if due is not None:
            self.pending.move(call, due)
            call.failing(error)
            return False, due
        if error.certainty is Certainty.NOT_EXECUTED and call.unresolved:
            return False, None
        return self.take(call), None

    def answer(self, replies: Iterable[Reply], now: float) -> tuple[list[Answer], list[Attempt]]:
        """Match replies with calls, in their order; what answers none is counted and left out.

        Return what is to be sent, too: calls that waited for somebody who serves them.
        """
        pending = self.pending
        answers: list[Answer] = []
        ready: list[Attempt] = []
        for reply in replies:
            call = pending.get(reply.call_id)
            if call is None:
                pending.late += 1
                continue
            route, attempt, method = call.route, reply.attempt, reply.method
            if attempt > call.attempt or (method is not None and method != route.wire_method):
                pending.foreign += 1
                continue
            peer = route.peer
            if reply.frames:
                peer.frames = True
            receipt = call.receipt_of(attempt)
            if receipt is not None:
                peer.health.replied(receipt.partition)
            if peer.presence.empty_since is not None:
                peer.presence.replied()
                ready += self._held(peer, now)
            if reply.code is not None and reply.code in call.terms.retry.codes:
                if call.may_have_run(attempt):
                    answers.append((call, reply, False))
                else:
                    pending.late += 1  # a refusal that came twice: the next attempt is under way
                continue
            route.latency.add(now - call.began)
            call.answered = attempt
            pending.take(reply.call_id)
            answers.append((call, reply, True))
        return answers, ready

    def learned(
        self, peer: Peer, state: GroupState | None, now: float, *, off: bool
    ) -> tuple[list[Attempt], list[Call[Any]]]:
        """Note what the broker said of a service; return what to send, and what nobody serves."""
        presence = peer.presence
        if state is None:
            presence.unanswered(off=off)
        else:
            presence.answered(state, now)
        if presence.empty_since is not None:  # a second answer is wanted sooner than planned
            self.peers.check(peer, presence.next_ask(ASK_HELD))
        ready = self._held(peer, now) if presence.empty_since is None else []
        lost: list[Call[Any]] = []
        if presence.nobody(now):
            lost = [
                call
                for call in self.pending
                if call.route.peer is peer and call.attempt and not call.terms.wait_for_ready
            ]
        for call in lost:
            self.take(call)
        return ready, lost

    def _held(self, peer: Peer, now: float) -> list[Attempt]:
        """Return the first attempts of calls that waited for somebody who serves, in order."""
        calls = [call for call in self.pending if call.route.peer is peer and not call.attempt]
        return [self._next(call, now) for call in calls]

    # -- time passes ---------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when `due` will next have something to do."""
        moments = (
            self.pending.next_due(),
            self.waiting.next_deadline(),
            self.peers.next_deadline(),
        )
        return min((at for at in moments if at is not None), default=None)

    def due(self, now: float) -> Due:
        """Return what is to be done now, or the first of it; calls that end are taken out.

        Not all at once, so that a call ends in time though hundreds are to be sent again.
        """
        expired: list[Call[Any]] = []
        again: list[Attempt] = []
        unserved: list[Call[Any]] = []
        calls = self.pending.due(now, _AT_ONCE)
        for call in calls:
            presence = call.route.peer.presence
            if call.deadline <= now:
                self.take(call)
                expired.append(call)
            elif not call.attempt and presence.nobody(now):
                self.take(call)
                unserved.append(call)
            elif not call.attempt and presence.empty_since is not None:
                # A second answer is under way.
                self.pending.move(call, min(now + ASK_HELD, call.deadline))
            elif (
                not call.attempt
                or call.last_error is not None
                or (presence.empty_since is None and self._resends.withdraw(now))
            ):
                again.append(self._next(call, now))
            else:  # the budget is spent, or nobody is there who might answer sooner
                self.pending.move(call, self._resends.hedge(call, now))
        asks = self.peers.due(now, self.pending)
        more = len(calls) == _AT_ONCE
        return Due(expired, self.waiting.expire(now), again, unserved, asks, more)

    def _next(self, call: Call[Any], now: float) -> Attempt:
        retried = call.last_error is not None
        call.failing(None)
        call.count_attempt()
        self.pending.move(call, self._resends.hedge(call, now))
        avoid: Collection[int] = ()
        if call.key is None:
            had = {receipt.partition for _, receipt in call.receipts}
            avoid = call.route.peer.health.stalled(now) | had
        return Attempt(call, call.attempt, avoid, retried)
