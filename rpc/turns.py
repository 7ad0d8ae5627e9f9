"""Whose turn it is: by routing key, by the limit of a method, and alone where that is safer. Pure.

    enter ──> lane of the key ──> lane of the method ──> gate ──> runs ──> end
                     (each lets so many in)     (closed while one runs alone)

A request at which servers have died before may take this one with it too. So it runs while nothing
else does: the gate closes behind what runs, and opens once that one has ended.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

from rpc.lanes import Lanes

__all__ = ["Turn", "Turns"]

J = TypeVar("J", bound=Hashable)


class Turn(NamedTuple):
    """A lane, and how many it lets in at once."""

    lane: Hashable
    width: int = 1


class _Stage:
    """How far a job has come that needs more than the open gate."""

    __slots__ = ("alone", "lanes", "passed")

    def __init__(self, lanes: Sequence[Turn], *, alone: bool) -> None:
        self.lanes = lanes
        self.alone = alone
        self.passed = 0
        """How many lanes it is in, or, of the last one, waits for."""


class Turns(Generic[J]):
    """The jobs of one server that are admitted and not ended."""

    def __init__(self) -> None:
        self._lanes: Lanes[J] = Lanes()
        self._stages: dict[J, _Stage] = {}
        self._going = 0
        self._solo = False
        self._lonely: deque[J] = deque()
        self._held: deque[J] = deque()

    @property
    def going(self) -> int:
        """How many have been let through and not ended."""
        return self._going

    @property
    def any_waiting(self) -> bool:
        """Whether something may be waiting; False is certain, and costs next to nothing."""
        return bool(self._stages or self._held)

    def waiting(self) -> list[J]:
        """Return what was not let through, of each lane the next first."""
        return [*self._lanes.all_waiting(), *self._lonely, *self._held]

    def enter(self, job: J, lanes: Sequence[Turn], *, alone: bool = False) -> list[J]:
        """Queue `job`; return what may run now, which is this job or nothing."""
        if lanes or alone:
            self._stages[job] = _Stage(lanes, alone=alone)
        elif not self._lonely and not self._solo:
            self._going += 1
            return [job]
        return self._advance(job)

    def end(self, job: J) -> list[J]:
        """Note that `job`, which was let through, has ended; return what may run now."""
        self._going -= 1
        self._solo = False
        if not self._stages and not self._held:
            return []
        return [*self._leave(job), *self._open()]

    def behind(self, lane: Turn) -> Sequence[J]:
        """Return what waits for a lane, the next first."""
        return self._lanes.waiting(lane.lane)

    def withdraw(self, job: J) -> list[J]:
        """Note that `job`, which was not let through, ends; return what may run now."""
        stage = self._stages.get(job)
        last = stage.lanes[stage.passed - 1].lane if stage is not None and stage.passed else None
        if stage is not None and last is not None and self._lanes.withdraw(last, job):
            stage.passed -= 1
        for queue in (self._lonely, self._held):
            if job in queue:
                queue.remove(job)
        return [*self._leave(job), *self._open()]

    def _advance(self, job: J) -> list[J]:
        stage = self._stages.get(job)
        if stage is not None:
            while stage.passed < len(stage.lanes):
                lane, width = stage.lanes[stage.passed]
                stage.passed += 1
                if not self._lanes.enter(lane, job, width):
                    return []
        if stage is not None and stage.alone:
            self._lonely.append(job)
            return self._open()
        if self._lonely or self._solo:
            self._held.append(job)
            return []
        self._going += 1
        return [job]

    def _leave(self, job: J) -> list[J]:
        """Leave the lanes of `job`; return what may run now."""
        stage = self._stages.pop(job, None)
        ready: list[J] = []
        if stage is not None:
            for lane, _ in stage.lanes[: stage.passed]:
                following = self._lanes.leave(lane)
                if following is not None:
                    ready += self._advance(following)
        return ready

    def _open(self) -> list[J]:
        """Return what the gate lets through now."""
        if self._solo:
            return []
        if self._lonely:
            if self._going:
                return []
            self._solo = True
            self._going = 1
            return [self._lonely.popleft()]
        ready = list(self._held)
        self._held.clear()
        self._going += len(ready)
        return ready
