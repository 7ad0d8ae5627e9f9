"""Whether there is room for one more job: in all, for its method, and in time for its caller.

The lock of `Execution` guards all of it; a thread that waits for room gives the lock up meanwhile.
"""

import threading

from rpc.admission import Admission
from rpc.clock import Clock
from rpc.job import Job
from rpc.limits import Limits
from rpc.overload import Overload
from rpc.refusal import Refusal, busy

__all__ = ["Room"]


class Room:
    """The bounds of one server, and who waits until there is room below them."""

    def __init__(
        self,
        lock: threading.Lock,
        admission: Admission[Job],
        limits: Limits[str],
        overload: Overload,
        clock: Clock,
    ) -> None:
        self._free = threading.Condition(lock)
        self._admission = admission
        self._limits = limits
        self._overload = overload
        self._clock = clock
        self._awaiting = 0
        """Threads that wait for room."""

    def wait(self) -> bool:
        """Wait a moment for room, which holds up what comes behind; tell whether there is some."""
        patience = self._overload.patience(self._clock())
        if patience <= 0:
            return False
        self._awaiting += 1
        there = self._free.wait_for(lambda: not self._admission.full, patience)
        self._awaiting -= 1
        return there

    def enter(self, job: Job, now: float) -> Refusal | None:
        """Give `job`, which is admitted, its place; or say why there is none, or no time."""
        if self._overload.too_late(job.context.deadline - now):
            why = f"its turn would come in {self._overload.wait():.1f} s, too late for it"
        elif not job.plan.limited or self._limits.enter(job.method):
            return None
        else:
            limit = self._limits.of(job.method)
            why = f"as many calls run and wait already as its limit allows: {limit}"
        self._admission.abandon(job.key)
        return self._busy(job, why)

    def full(self, job: Job) -> Refusal:
        """Say that there is no room for `job`."""
        limit = self._admission.limit
        return self._busy(job, f"the server has {limit} calls to do already (max_in_flight)")

    def leave(self, job: Job) -> None:
        """Free the place of `job`, which is not admitted any more."""
        if self._awaiting:
            self._free.notify()
        if job.plan.limited:
            self._limits.leave(job.method)
        self._overload.ease(len(self._admission))

    def _busy(self, job: Job, why: str) -> Refusal:
        return busy(job.method, why, self._overload.wait() or None)
