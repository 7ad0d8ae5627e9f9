"""One at a time per key: what has one routing key runs in the order in which it came. Pure.

A key's requests come from one partition, hence in the order in which they were appended; workers
would run them side by side. What has no key has no lane. Bounded by what is admitted.
"""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Lanes"]

J = TypeVar("J")


class Lanes(Generic[J]):
    """The keys of which something runs, each with what waits behind it."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, deque[J]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def enter(self, lane: Hashable, job: J) -> bool:
        """Return whether `job` may run now; else `leave` will return it when it may."""
        waiting = self._waiting.get(lane)
        if waiting is None:
            self._waiting[lane] = deque()
            return True
        waiting.append(job)
        return False

    def leave(self, lane: Hashable) -> J | None:
        """Note that what ran in `lane` has ended; return what may run there now, if anything."""
        waiting = self._waiting.get(lane)
        if waiting:
            return waiting.popleft()
        self._waiting.pop(lane, None)
        return None
