"""When calls end: which timeout holds, and which of many deadlines is next.

Pure: every moment is an argument, nothing here reads a clock.
"""

import heapq
from typing import Generic, TypeVar

__all__ = ["DEFAULT_TIMEOUT", "Deadlines", "effective_timeout", "remaining"]

DEFAULT_TIMEOUT = 5.0
"""Seconds for a call whose method, channel and caller name no timeout (Spring's template: 5 s)."""

K = TypeVar("K", int, str, bytes)


def effective_timeout(chosen: float, inherited: float | None) -> float:
    """Return the seconds a call gets: what was chosen for it, or less if its caller has less."""
    return chosen if inherited is None else min(chosen, inherited)


def remaining(timeout: float, age: float) -> float:
    """Return the seconds left of `timeout` for a request that is `age` seconds old.

    An age below zero is the skew of two clocks, not time gained.
    """
    return timeout - max(0.0, age)


class Deadlines(Generic[K]):
    """The next of many deadlines, in O(log n); after the class of this name in trio.

    Removing is lazy: a removed key stays in the heap until it surfaces or outnumbers the living.
    What is due at the same moment comes in the order of its keys.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, K]] = []
        self._live: dict[K, float] = {}

    def __len__(self) -> int:
        return len(self._live)

    def add(self, key: K, deadline: float) -> None:
        """Watch `key`; a second `add` moves its deadline."""
        self._live[key] = deadline
        heap = self._heap
        heapq.heappush(heap, (deadline, key))
        if len(heap) > 64 and len(heap) > 2 * len(self._live):
            self._prune()

    def remove(self, key: K) -> None:
        """Watch `key` no more; an unknown key is nothing."""
        self._live.pop(key, None)

    def next_deadline(self) -> float | None:
        """Return the earliest deadline, or None when nothing is watched."""
        heap = self._heap
        while heap:
            deadline, key = heap[0]
            if self._live.get(key) == deadline:
                return deadline
            heapq.heappop(heap)
        return None

    def expire(self, now: float) -> list[K]:
        """Remove and return every key whose deadline is at or before `now`, earliest first."""
        expired: list[K] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            key = heapq.heappop(self._heap)[1]
            del self._live[key]
            expired.append(key)
        return expired

    def _prune(self) -> None:
        self._heap = [(deadline, key) for key, deadline in self._live.items()]
        heapq.heapify(self._heap)
