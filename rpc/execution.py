"""What a server runs: whether and when a request gets its turn, and what follows its end.

One lock guards admission, limits, turns and the phases of jobs; it is never held while something is
sent, run or committed. The receiving threads call `admit` and `cancel`; workers and the event loop
call `claim` and `finish`.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from contracts import Cancelled, Certainty, DeliveryMode
from rpc.admission import Admission, CallKey, Verdict
from rpc.answers import error_reply, kept_reply, server_fault
from rpc.clock import Clock
from rpc.job import Job, Phase
from rpc.limits import Limits
from rpc.overload import Overload
from rpc.refusal import Refusal, busy, expired, given_up, overdue, unreadable
from rpc.settlement import Settlement, commit_all
from rpc.turns import Turns
from transports import failpoints
from transports.base import Message, Receipt
from transports.errors import MessageTooLarge, TransportError

__all__ = ["Aged", "Execution"]


Aged = tuple[Job, float]
"""A job, and for how many seconds its caller has been waiting."""


class Execution:
    """The jobs of one server, from their admission to their end."""

    def __init__(
        self,
        *,
        admission: Admission[Job],
        limits: Limits[str],
        overload: Overload,
        settlement: Settlement,
        start: Callable[[Sequence[Job], bool], None],
        stop: Callable[[Job], None],
        clock: Clock,
    ) -> None:
        self._admission = admission
        self._limits = limits
        self._overload = overload
        self._settlement = settlement
        self._start = start
        self._stop = stop
        self._clock = clock
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._turns: Turns[Job] = Turns()
        self._suspects: list[Job] = []

    # -- the beginning -------------------------------------------------------------------------

    def admit(self, jobs: deque[Aged]) -> tuple[Job, Refusal | Message] | None:
        """Take `jobs` from the left, and run each when its turn comes.

        Return the first that is answered at once, with its answer; None once all are taken. May
        wait for room, at most for the patience of `Overload`.
        """
        answered: tuple[Job, Refusal | Message] | None = None
        while jobs and answered is None:
            ready: list[Job] = []
            with self._lock:
                while jobs and answered is None:
                    if self._admission.full and ready:
                        break  # what is ready makes room, once it is started
                    job, age = jobs.popleft()
                    answer = self._admit(job, age, ready)
                    if answer is not None:
                        answered = job, answer
                self._queue(ready)
            self._launch(ready, here=True)
        return answered

    def _admit(self, job: Job, age: float, ready: list[Job]) -> Refusal | Message | None:
        """Decide on `job`: it is added to those that are ready, or waits, or is answered."""
        refused = self._settlement.refused(job.request)
        if refused is not None:
            self._settlement.opened()
            return refused
        admitted = self._admission.admit(job.key, job, job.context.remaining)
        if admitted.verdict is Verdict.SHED and self._await_room():
            admitted = self._admission.admit(job.key, job, job.context.remaining)
        answer: Refusal | Message | None
        match admitted.verdict:
            case Verdict.RUN:
                answer = self._excess(job)
                if answer is None:
                    ready += self._enter(job)
                    return None
            case Verdict.JOIN if admitted.running is not None:
                answer = _join(admitted.running, job)
                if answer is None:
                    return None
            case Verdict.REPEAT:
                answer = admitted.reply
            case Verdict.EXPIRED:
                answer = expired(job.method, age)
            case _:
                why = f"the server has {self._admission.limit} calls to do already"
                answer = self._busy(job, f"{why} (max_in_flight)")
        self._settlement.opened()
        return answer

    def _await_room(self) -> bool:
        """Wait a moment for room, which holds up what comes behind; tell whether there is some."""
        patience = self._overload.patience(self._clock())
        return patience > 0 and self._room.wait_for(lambda: not self._admission.full, patience)

    def _excess(self, job: Job) -> Refusal | None:
        """Return why there is no room or no time for `job`, None where there is."""
        if self._overload.too_late(job.context.remaining):
            why = f"its turn would come in {self._overload.wait():.1f} s, too late for it"
        elif self._limits.enter(job.method):
            return None
        else:
            limit = self._limits.of(job.method)
            why = f"as many calls run and wait already as its limit allows: {limit}"
        self._admission.abandon(job.key)
        return self._busy(job, why)

    def _busy(self, job: Job, why: str) -> Refusal:
        return busy(job.method, why, self._overload.wait() or None)

    def _enter(self, job: Job) -> list[Job]:
        self._settlement.opened()
        if job.alone:
            self._suspects.append(job)
        return self._turns.enter(job, job.turns, alone=job.alone)

    def _queue(self, ready: Sequence[Job]) -> None:
        """Note that these have their turn; `_launch` follows once the lock is free."""
        for job in ready:
            if _commits_first(job):
                job.phase = Phase.COMMITTING
            else:
                job.phase = Phase.QUEUED
                self._overload.queued(self._clock())

    def _launch(self, ready: Sequence[Job], *, here: bool = False) -> None:
        """Start what has its turn, once the broker knows what it must know before.

        `here`: this thread may run handlers that are `inline`.
        """
        if not ready:
            return
        queued = [job for job in ready if not _commits_first(job)]
        if queued:
            self._start(queued, here)
        if len(queued) < len(ready):
            for job in ready:
                if _commits_first(job):
                    self._commit(job)

    def _commit(self, job: Job) -> None:
        once = job.plan.mode is DeliveryMode.AT_MOST_ONCE
        with self._lock:
            deliveries = list(job.deliveries)
        for each in deliveries:
            each.ack() if once else each.begin()
        commit_all(deliveries, partial(self._committed, job, once))

    def _committed(self, job: Job, once: bool, kept: bool) -> None:  # noqa: FBT001 - of `commit`
        following: list[Job] = []
        with self._lock:
            if kept:
                job.committed = once
                job.phase = Phase.QUEUED
                self._overload.queued(self._clock())
            else:
                job.phase = Phase.OVER
                following = self._leave(job)
                self._queue(following)
        if kept:
            self._start([job], False)  # noqa: FBT003 - not here: commits are told where none may wait
        else:  # it is another server's by now, which answers it
            self._settlement.drop()
            self._launch(following)

    def claim(self, job: Job) -> bool:
        """Tell the worker that took `job` whether it is still to be run."""
        now = self._clock()
        with self._lock:
            if job.phase is not Phase.QUEUED:
                return False
            job.phase, job.began = Phase.RUNNING, now
            self._overload.withdrawn(now)
        return not (failpoints.on and failpoints.hit("server.before_handler"))

    # -- the end -------------------------------------------------------------------------------

    def join(self, job: Job) -> None:
        """Note that `job` waits for the reply of another; its worker is free."""
        with self._lock:
            if job.phase is not Phase.RUNNING:
                return  # that other has ended meanwhile
            job.phase = Phase.JOINED
            ready = self._turns.end(job)
            self._queue(ready)
        self._launch(ready)

    def finish(self, job: Job, outcome: Message | Refusal) -> None:
        """Answer `job`, and those that joined it; settle each once the broker has its reply."""
        if failpoints.on and failpoints.hit("server.after_handler"):
            return
        now = self._clock()
        with self._lock:
            if job.phase is Phase.OVER:
                return
            if not isinstance(outcome, Refusal):
                remember = job.started and not job.invites_retry and not _is_stored(job)
                self._admission.finish(job.key, outcome, remember=remember)
                self._overload.ended(now - job.began, now)
            ready = self._end(job)
            self._queue(ready)
        self._answer(job, outcome)
        self._launch(ready)
        for other in job.joined:
            self.finish(other, _same(job, other, outcome))

    def cancel(self, key: CallKey) -> None:
        """Give up a call: what waits ends at once, what runs is told."""
        ready: list[Job] = []
        refusal: Refusal | None = None
        with self._lock:
            job = self._admission.running(key)
            if job is None:
                return
            runs = job.phase in {Phase.RUNNING, Phase.COMMITTING}
            if not runs:
                refusal = _detached(job) if job.phase is Phase.JOINED else given_up(job.method)
                ready = self._end(job)
                self._queue(ready)
            elif not job.joined:  # else others wait for the same work
                job.context.cancel()
        if refusal is not None:
            self._answer(job, refusal)
            self._launch(ready)
        elif job.context.cancelled:
            self._stop(job)

    def give_up_suspects(self) -> None:
        """End those whose deadline passed while they waited until nothing else ran."""
        if not self._suspects:
            return
        with self._lock:
            late = [job for job in self._suspects if _is_late(job)]
            ready = [other for job in late for other in self._end(job)]
            self._queue(ready)
        for job in late:
            self._answer(job, overdue(job.method))
        self._launch(ready)

    def _end(self, job: Job) -> list[Job]:
        """Move `job` to its end from whichever phase; return what may run now."""
        before, job.phase = job.phase, Phase.OVER
        if before is Phase.QUEUED:
            self._overload.withdrawn(self._clock())
        return self._leave(job, before)

    def _leave(self, job: Job, before: Phase = Phase.COMMITTING) -> list[Job]:
        """Free the room and the turn of `job`, which was in the phase `before`."""
        if self._admission.full:
            self._room.notify()
        self._admission.abandon(job.key)
        self._limits.leave(job.method)
        self._overload.ease(len(self._admission))
        if job.alone:
            self._suspects.remove(job)
        if before is Phase.JOINED:
            return []
        return self._turns.withdraw(job) if before is Phase.WAITING else self._turns.end(job)

    def _answer(self, job: Job, outcome: Message | Refusal) -> None:
        if isinstance(outcome, Refusal):
            self._settlement.refuse(job.request, outcome, job.deliveries, committed=job.committed)
        else:
            self._settlement.send(job.request, outcome, partial(self._replied, job))

    def _replied(self, job: Job, sent: Receipt | TransportError) -> None:
        if isinstance(sent, MessageTooLarge) and not job.too_large:
            job.too_large = True
            error = server_fault(job, f"the result is too large: {sent}", None)
            reply = error_reply(job.request, job.plan.codec, error)
            self._settlement.send(job.request, reply, partial(self._replied, job))
        else:
            self._settlement.settle(sent, job.deliveries)


def _commits_first(job: Job) -> bool:
    """Whether the broker must know something of it before it is started."""
    return job.alone or job.plan.mode is DeliveryMode.AT_MOST_ONCE


def _join(running: Job, job: Job) -> Refusal | None:
    """Settle a duplicate together with what runs already."""
    if job.plan.mode is DeliveryMode.EFFECTIVELY_ONCE and job.request.body != running.request.body:
        return unreadable(f"{job.method}: this call runs already, with other arguments")
    if job.plan.mode is DeliveryMode.AT_MOST_ONCE:
        for each in job.deliveries:
            each.ack()  # before the first one is answered: it must not outlive it
    running.deliveries += job.deliveries
    return None


def _is_stored(job: Job) -> bool:
    """Whether the store of replies answers who asks again, with the arguments looked at."""
    return job.plan.mode is DeliveryMode.EFFECTIVELY_ONCE


def _is_late(job: Job) -> bool:
    return job.phase is Phase.WAITING and job.context.remaining <= 0


def _same(job: Job, other: Job, outcome: Message | Refusal) -> Message | Refusal:
    """Return the outcome of `job` as the answer to `other`, which joined it."""
    if isinstance(outcome, Refusal) or job.stored is None:
        return outcome
    other.started = True
    return kept_reply(other.request, job.stored)


def _detached(job: Job) -> Refusal:
    message = f"{job.method}: the caller gave up; the work goes on for another"
    return Refusal(Cancelled(message=message, certainty=Certainty.UNKNOWN))
