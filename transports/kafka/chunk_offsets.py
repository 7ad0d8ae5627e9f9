"""Which records of a partition are chunks, and at which of them their message stands. Pure.

A message in chunks is settled as one: it stands at the last of its records. The others are no
messages by themselves, and neither is one whose message has not all come.
"""

from collections.abc import Iterable, Sequence

__all__ = ["ChunkOffsets"]


class ChunkOffsets:
    """The chunks of one partition that are not settled. Not thread-safe."""

    __slots__ = ("_bound", "_others", "_waiting")

    def __init__(self) -> None:
        self._waiting: set[int] = set()
        self._others: set[int] = set()
        """Those whose message stands elsewhere."""
        self._bound: dict[int, Sequence[int]] = {}
        """The others, by where the message stands."""

    def add(self, offset: int) -> None:
        """Let a chunk wait for the rest of its message."""
        self._waiting.add(offset)

    def waits(self, offset: int) -> bool:
        """Whether there is a chunk that waits."""
        return offset in self._waiting

    def bind(self, offsets: Sequence[int]) -> bool:
        """Make one message of chunks, at the last of them; False unless all of them wait."""
        if not self._waiting.issuperset(offsets):
            return False
        self._waiting.difference_update(offsets)
        *others, place = offsets
        if others:
            self._bound[place] = others
            self._others.update(others)
        return True

    def binds(self, place: int) -> bool:
        """Whether a message of several chunks stands there."""
        return place in self._bound

    def forget(self, offset: int) -> bool:
        """Forget a chunk that is settled; False where it is, or may be, a message."""
        known = offset in self._waiting or offset in self._others
        self._waiting.discard(offset)
        self._others.discard(offset)
        return known

    def take_others(self, place: int) -> Iterable[int]:
        """Return the other chunks of the message at `place`, which is settled, and forget them."""
        others = self._bound.pop(place, ())
        self._others.difference_update(others)
        return others
