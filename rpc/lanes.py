"""So many at a time: what has one routing key runs alone, in the order in which it came. Pure.

A key's requests come from one partition, hence in the order in which they were appended; workers
would run them side by side. A method with a limit is a lane too, as wide as the limit. Bounded by
what is admitted.
"""

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from typing import Generic, TypeVar

__all__ = ["Lanes"]

J = TypeVar("J")


class _Lane(Generic[J]):
    __slots__ = ("inside", "waiting")

    def __init__(self) -> None:
        self.inside = 1
        self.waiting: deque[J] = deque()


class Lanes(Generic[J]):
    """The lanes in which something runs, each with what waits behind it."""

    def __init__(self) -> None:
        self._lanes: dict[Hashable, _Lane[J]] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    def enter(self, lane: Hashable, job: J, width: int = 1) -> bool:
        """Return whether `job` may run now; else `leave` will return it when it may."""
        found = self._lanes.get(lane)
        if found is None:
            self._lanes[lane] = _Lane()
            return True
        if found.inside < width:
            found.inside += 1
            return True
        found.waiting.append(job)
        return False

    def leave(self, lane: Hashable) -> J | None:
        """Note that what ran in `lane` has ended; return what may run there now, if anything."""
        found = self._lanes.get(lane)
        if found is None:
            return None
        if found.waiting:
            return found.waiting.popleft()
        found.inside -= 1
        if not found.inside:
            del self._lanes[lane]
        return None

    def waiting(self, lane: Hashable) -> Sequence[J]:
        """Return what waits for `lane`, the next first."""
        found = self._lanes.get(lane)
        return () if found is None else tuple(found.waiting)

    def all_waiting(self) -> Iterator[J]:
        """Yield what waits for any lane, of each the next first."""
        for lane in self._lanes.values():
            yield from lane.waiting

    def withdraw(self, lane: Hashable, job: J) -> bool:
        """Take `job` out of those that wait for `lane`; return whether it was among them."""
        found = self._lanes.get(lane)
        if found is None or job not in found.waiting:
            return False
        found.waiting.remove(job)
        return True
