"""Which partitions of a topic answer, as far as a client can see from its own calls.

A partition that owes a reply for longer than its method usually takes, and has sent none since, is
stalled: most often its server was killed, and until another takes over nobody reads it. It is
avoided until a reply comes from it, or for a rest; then normal traffic tries it again.

Pure: every moment is an argument. On the happy path each step is a look into a dictionary.
"""

import math

__all__ = ["FIRST_REST", "LONGEST_REST", "PartitionHealth"]

FIRST_REST, LONGEST_REST = 2.0, 8.0
"""Seconds that a stalled partition is avoided; each stall without a reply between doubles them."""


class PartitionHealth:
    """The partitions of one topic. Not thread-safe; bounded by their number."""

    __slots__ = ("_owed", "_rests", "avoided", "review_at")

    def __init__(self) -> None:
        self._owed: dict[int, float] = {}
        """When the oldest attempt since the last reply of a partition is overdue."""
        self._rests: dict[int, tuple[float, float]] = {}
        """Until when a partition rests or has rested, and how many seconds that is."""
        self.avoided: frozenset[int] = frozenset()
        """What `stalled` returns until `review_at`."""
        self.review_at = math.inf

    def sent(self, partition: int, due: float) -> None:
        """Note that an attempt stands in `partition`, whose reply is overdue from `due` on."""
        if partition in self._owed or partition in self.avoided:
            return
        self._owed[partition] = due
        self.review_at = min(self.review_at, due)

    def replied(self, partition: int) -> None:
        """Note that a reply to an attempt in `partition` came."""
        self._owed.pop(partition, None)
        if partition in self._rests:
            del self._rests[partition]
            self.avoided -= {partition}

    def stalled(self, now: float) -> frozenset[int]:
        """Return the partitions to avoid; they may be all, and then any is as good."""
        if now >= self.review_at:
            self._review(now)
        return self.avoided

    def _review(self, now: float) -> None:
        for partition in [one for one, due in self._owed.items() if due <= now]:
            del self._owed[partition]
            _, last = self._rests.get(partition, (0.0, FIRST_REST / 2))
            rest = min(2 * last, LONGEST_REST)
            self._rests[partition] = (now + rest, rest)
        ends = {one: until for one, (until, _) in self._rests.items() if until > now}
        self.avoided = frozenset(ends)
        self.review_at = min((*self._owed.values(), *ends.values()), default=math.inf)
