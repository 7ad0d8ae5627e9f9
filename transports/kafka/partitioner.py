"""Which partition a message goes to. Pure; the caller brings the time and guards the state."""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from math import gcd
from typing import TypeVar

__all__ = ["StickySpread", "murmur2", "partition_for_key"]

P = TypeVar("P")

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit hash that the Java client's default partitioner takes of a key."""
    length = len(data)
    whole = length & ~3
    h = _SEED ^ length
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if length > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partition_for_key(key: bytes, partitions: int) -> int:
    """Return the partition that the Java client chooses for `key` among `partitions`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


@lru_cache
def _stride(partitions: int) -> int:
    """Return a step near the golden section that comes by every partition before it repeats."""
    step = max(1, round(partitions * 0.618))
    while gcd(step, partitions) != 1:
        step += 1
    return step


class StickySpread:
    """Spreads messages without a key: in turn over the partitions, those that can go together.

    A partition keeps the turn as long as a batch for it waits to be sent, and for `run` messages at
    most (KIP-480 and KIP-794 have this from the Java client). A record batch costs about twenty
    times as much as a record in it, so what waits goes together; where nothing waits, each message
    goes to another partition; and no run is so long that one server gets all of a burst. The turn
    passes to a distant partition: range assignment gives neighbours to one server, and what is
    sent again shall reach another.
    """

    __slots__ = ("_left", "_run", "_turn")

    def __init__(self, start: int, run: int) -> None:
        self._turn = start
        self._run = run
        self._left = 0

    def choose(
        self, partitions: Sequence[P], waits: Callable[[P], bool], avoid: Collection[P] = ()
    ) -> P:
        """Return the partition for a message; `waits` tells whether a batch for one is not sent.

        It is none of `avoid`, as long as there are others; the others get even shares of what is
        kept away from there. `partitions` must not be empty.
        """
        if avoid:
            partitions = [one for one in partitions if one not in avoid] or partitions
        chosen = partitions[self._turn % len(partitions)]
        if self._left <= 0 or not waits(chosen):
            self._turn += _stride(len(partitions))
            self._left = self._run
            chosen = partitions[self._turn % len(partitions)]
        self._left -= 1
        return chosen
