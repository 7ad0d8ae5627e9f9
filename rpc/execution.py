"""What a server runs: whether and when a request gets its turn, and what follows its end.

One lock guards admission, limits, turns and the phases of jobs; it is never held while something is
sent, run or committed. The receiving threads call `admit` and `cancel`; workers and the event loop
call `claim` and `finish`.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from rpc.admission import Admission, CallKey, Verdict
from rpc.clock import Clock
from rpc.job import Job, Phase
from rpc.joining import detached, join, same
from rpc.limits import Limits
from rpc.overload import Overload
from rpc.refusal import Refusal, expired, given_up, overdue
from rpc.replays import not_begun
from rpc.room import Room
from rpc.settlement import Settlement, commit_all
from rpc.telling import tell_caller
from rpc.turns import Turns
from transports import failpoints
from transports.base import Message

__all__ = ["Aged", "Execution"]

# To ask an enum for a member costs as much as half a lock, several times in each call.
RUN, SHED, EXPIRED = Verdict.RUN, Verdict.SHED, Verdict.EXPIRED
WAITING, COMMITTING, QUEUED = Phase.WAITING, Phase.COMMITTING, Phase.QUEUED
RUNNING, JOINED, OVER = Phase.RUNNING, Phase.JOINED, Phase.OVER

_LOOK = 0.1  # seconds between two looks at all that waits

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
        start: Callable[[Sequence[Job]], None],
        stop: Callable[[Job], None],
        clock: Clock,
    ) -> None:
        self._admission = admission
        self._overload = overload
        self._settlement = settlement
        self._start = start
        self._stop = stop
        self._clock = clock
        self._lock = threading.Lock()
        self._room = Room(self._lock, admission, limits, overload, clock)
        self._turns: Turns[Job] = Turns()
        self._looked = clock()
        self._refused = settlement.refused

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
                now = self._clock()
                while jobs and answered is None:
                    if ready and self._admission.full:
                        break  # what is ready makes room, once it is started
                    job, age = jobs.popleft()
                    answer = self._refused(job.request) or self._admit(job, age, now, ready)
                    if answer is not None:
                        self._settlement.opened()
                        answered = job, answer
            self._launch(ready)
        return answered

    def _admit(
        self, job: Job, age: float, now: float, ready: list[Job]
    ) -> Refusal | Message | None:
        """Decide on `job`: it is added to those that are ready, or waits, or is answered."""
        admitted = self._admission.admit(job.key, job, job.context.deadline - now)
        verdict = admitted.verdict
        if verdict is SHED and self._room.wait():
            now = self._clock()
            admitted = self._admission.admit(job.key, job, job.context.deadline - now)
            verdict = admitted.verdict
        if verdict is RUN:
            answer = self._room.enter(job, now)
            if answer is None:
                ready += self._enter(job, now)
            return answer
        if admitted.running is not None:
            return join(admitted.running, job)
        if admitted.reply is not None:
            return admitted.reply
        if verdict is EXPIRED:
            return expired(job.method, age)
        return self._room.full(job)

    def _enter(self, job: Job, now: float) -> list[Job]:
        self._settlement.opened()
        return self._queue(self._turns.enter(job, job.turns, alone=job.alone), now)

    def _queue(self, ready: list[Job], now: float) -> list[Job]:
        """Note that these have their turn; `_launch` follows once the lock is free."""
        for job in ready:
            if job.commits_first:
                job.phase = COMMITTING
            else:
                job.phase = QUEUED
                self._overload.queued(now)
        return ready

    def _launch(self, ready: Sequence[Job]) -> None:
        """Start what has its turn, once the broker knows what it must know before.

        A loop and no recursion: of a lost partition, all that waits may follow at once.
        """
        while ready:
            queued = [job for job in ready if not job.commits_first]
            if queued:
                self._start(queued)
            if len(queued) == len(ready):
                return
            first = [job for job in ready if job.commits_first]
            ready = [following for job in first for following in self._commit(job)]

    def _commit(self, job: Job) -> list[Job]:
        """Have the broker know of `job`, unless it is lost; return what has its turn instead."""
        ready = self._give_back(job, COMMITTING) if job.is_lost else []
        if job.phase is not COMMITTING:
            return ready
        once = job.plan.at_most_once
        if not once and (job.is_lost or job.context.cancelled):
            # What came in chunks can be neither given back nor noted, and runs here, as in `claim`;
            # what nobody waits for any more is not run, so that nothing is to be noted of it.
            return ready + self._committed(job, kept=True, at_once=True)
        with self._lock:
            deliveries = list(job.deliveries)
        for each in deliveries:
            each.ack() if once else each.begin()
        asking, thread = True, threading.get_ident()

        def told(kept: bool) -> None:  # noqa: FBT001 - the signature of `Delivery.commit`
            at_once = asking and threading.get_ident() == thread
            following = self._committed(job, kept=kept, at_once=at_once)
            ready.extend(following) if at_once else self._launch(following)

        commit_all(deliveries, told)
        asking = False
        return ready

    def _committed(self, job: Job, *, kept: bool, at_once: bool) -> list[Job]:
        once = job.plan.at_most_once
        if not (kept or once) and (job.is_lost or not at_once):
            # In flight here, it would be nobody's if it were dropped and its partition came back.
            # It is given back, or noted anew where that has come back already. What is refused at
            # once though it is not lost, another server has settled.
            return [job]
        now = self._clock()
        with self._lock:
            if not kept:
                following = self._end(job, now)
            else:
                following, job.phase, job.committed = [], QUEUED, once
                self._overload.queued(now)
        if kept:
            self._start([job])
        else:  # it is another server's by now, which answers it
            self._settlement.drop()
        return following

    def claim(self, job: Job) -> bool:
        """Tell the worker that took `job` whether it is still to be run."""
        if job.is_lost:
            self._launch(self._give_back(job, QUEUED))
        now = self._clock()
        with self._lock:
            if job.phase is not QUEUED:
                return False
            job.phase, job.began = RUNNING, now
            self._overload.withdrawn(now)
        return not (failpoints.on and failpoints.hit("server.before_handler"))

    def _give_back(self, job: Job, phase: Phase) -> list[Job]:
        """Leave `job`, if still in `phase`, and what waits behind its key, to the next owner.

        Return what may run now. The last goes first: where the partition comes back meanwhile,
        what is still here runs in its order, and what was given back comes again behind it.
        """
        with self._lock:
            if job.phase is not phase:
                return []
            now, lane = self._clock(), job.lane
            behind = () if lane is None else self._turns.behind(lane)
            given = [each for each in (*reversed(behind), job) if each.give_back()]
            ready = [following for each in given for following in self._end(each, now)]
        for _ in given:
            self._settlement.drop()
        return ready

    # -- the end -------------------------------------------------------------------------------

    def join(self, job: Job) -> None:
        """Note that `job` waits for the reply of another; its worker is free."""
        with self._lock:
            if job.phase is not RUNNING:
                return  # that other has ended meanwhile
            job.phase = JOINED
            ready = self._queue(self._turns.end(job), self._clock())
        self._launch(ready)

    def finish(self, job: Job, outcome: Message | Refusal) -> None:
        """Answer `job`, and those that joined it; settle each once the broker has its reply."""
        if failpoints.on and failpoints.hit("server.after_handler"):
            return
        now = self._clock()
        with self._lock:
            before, job.phase = job.phase, OVER
            if before is OVER:
                return
            if isinstance(outcome, Refusal):
                self._admission.abandon(job.key)
            else:
                # A store of replies answers who asks again, with the arguments looked at.
                forget = job.invites_retry or job.plan.effectively_once
                self._admission.finish(job.key, outcome, remember=job.started and not forget)
                self._overload.ended(now - job.began, now)
            ready = self._leave(job, before, now)
        tell_caller(self._settlement, job, outcome)
        if ready:
            self._launch(ready)
        for other in job.joined:
            late = isinstance(outcome, Refusal) and job.context.cancelled  # the other need not be
            self.finish(other, not_begun(other) if late else same(job, other, outcome))

    def cancel(self, key: CallKey) -> None:
        """Give up a call: what waits ends at once, what runs is told."""
        ready: list[Job] = []
        refusal: Refusal | None = None
        with self._lock:
            job = self._admission.running(key)
            if job is None:
                return
            if job.phase not in {RUNNING, COMMITTING}:
                refusal = detached(job) if job.phase is JOINED else given_up(job.method)
                ready = self._end(job, self._clock())
            elif not job.joined:  # else others wait for the same work
                job.context.cancel()
        if refusal is not None:
            tell_caller(self._settlement, job, refusal)
            self._launch(ready)
        if refusal is not None or job.context.cancelled:
            self._stop(job)

    def give_up_late(self) -> None:
        """End those whose deadline passed while they waited for their turn.

        Behind one that hangs it never comes, and each of them would keep its place from others.
        """
        if not self._turns.any_waiting or (now := self._clock()) - self._looked < _LOOK:
            return
        self._looked = now
        with self._lock:
            late = [job for job in self._turns.waiting() if job.context.deadline <= now]
            ready = [other for job in late for other in self._end(job, now)]
        for job in late:
            tell_caller(self._settlement, job, overdue(job.method))
        self._launch([job for job in ready if job.phase is not OVER])  # some were late themselves

    def _end(self, job: Job, now: float) -> list[Job]:
        """Move `job`, which is not run, to its end from whichever phase; return what may run."""
        before, job.phase = job.phase, OVER
        self._admission.abandon(job.key)
        return self._leave(job, before, now)

    def _leave(self, job: Job, before: Phase, now: float) -> list[Job]:
        """Free the room and the turn of `job`, which was in the phase `before`."""
        if before is QUEUED:
            self._overload.withdrawn(now)
        self._room.leave(job)
        if before is JOINED:
            return []
        waited = before is WAITING
        ready = self._turns.withdraw(job) if waited else self._turns.end(job)
        return self._queue(ready, now) if ready else ready
