"""Competing consumers of one topic: who owns which partition, what they hold, what is settled.

Pure: no lock, thread or clock. Members are named by integers that the caller makes unique.
"""

from collections.abc import Sequence

from transports.base import GroupState
from transports.memory.log import Log, Record

__all__ = ["Group"]


class _Share:
    """What a group knows of one partition."""

    __slots__ = ("acked", "high", "holder", "position", "taken", "watermark")

    def __init__(self, start: int) -> None:
        self.watermark = start
        """Every offset below is acknowledged: what a new owner starts from."""
        self.position = start
        """The next offset to hand out."""
        self.high = start
        """Below it, what is handed out was handed out before."""
        self.acked: set[int] = set()
        """Acknowledged at or above the watermark, behind something that is not."""
        self.taken: set[int] = set()
        """Handed out to `holder` and not acknowledged."""
        self.holder: int | None = None
        """The member that holds what is taken: not the owner, while a handover waits for it."""


class Group:
    """Hands each record to one member, and again to another if that one leaves without an ack.

    Partitions are dealt to the members in the order they joined. A partition that changes its owner
    is handed over once the old one has settled what it holds, so that a member that joins causes no
    duplicates and cannot overtake; a member that leaves gives back what it holds at once.
    """

    def __init__(self, logs: Sequence[Log]) -> None:
        self._logs = logs
        self._shares = [_Share(log.start) for log in logs]
        self._members: list[int] = []
        self._held: dict[int, int] = {}
        self._turn = 0

    def join(self, member: int) -> None:
        """Add `member` and deal the partitions anew; a member that is there already is a fault."""
        if member in self._held:
            raise ValueError(f"member {member} has joined already")
        self._members.append(member)
        self._held[member] = 0

    def leave(self, member: int) -> None:
        """Remove `member`; what it holds unacknowledged is handed out again. Twice: nothing."""
        if member not in self._held:
            return
        self._members.remove(member)
        del self._held[member]
        for share in self._shares:
            if share.holder == member:
                share.holder = None
                share.taken.clear()
                share.position = share.watermark

    def owner(self, partition: int) -> int | None:
        """Return the member that `partition` is dealt to, or None when there is no member."""
        return self._members[partition % len(self._members)] if self._members else None

    def held(self, member: int) -> int:
        """Return how many records `member` holds unacknowledged; none for a stranger."""
        return self._held.get(member, 0)

    def holds(self, member: int, partition: int, offset: int) -> bool:
        """Tell whether `member` has what is at that place, unacknowledged."""
        share = self._shares[partition]
        return share.holder == member and offset in share.taken

    def watermark(self, partition: int) -> int:
        """Return the offset below which everything is acknowledged."""
        return self._shares[partition].watermark

    def state(self) -> GroupState:
        """Return how many members there are, and the watermarks."""
        marks = {number: share.watermark for number, share in enumerate(self._shares)}
        return GroupState(len(self._members), marks)

    def take(self, member: int, limit: int) -> list[Record]:
        """Hand `member` up to `limit` records of its partitions, each partition in order."""
        count = len(self._logs)
        first = self._turn
        records: list[Record] = []
        for step in range(count):
            partition = (first + step) % count
            if len(records) < limit and self._may_take(member, partition):
                records += self._take_from(partition, member, limit - len(records))
        if records:
            # The next call begins one partition further: a busy one does not starve the others.
            self._turn = (first + 1) % count
        return records

    def _may_take(self, member: int, partition: int) -> bool:
        share = self._shares[partition]
        return (
            share.position < self._logs[partition].end
            and self.owner(partition) == member
            and share.holder in (None, member)
        )

    def _take_from(self, partition: int, member: int, limit: int) -> list[Record]:
        share, log = self._shares[partition], self._logs[partition]
        records: list[Record] = []
        while len(records) < limit and share.position < log.end:
            record = log.read(share.position)
            if record is not None and share.position not in share.acked:
                share.taken.add(share.position)
                records.append(record._replace(redelivered=share.position < share.high))
            share.position += 1
        share.high = max(share.high, share.position)
        if records:
            share.holder = member
            self._held[member] += len(records)
        return records

    def ack(self, member: int, partition: int, offset: int) -> bool:
        """Settle what `member` holds at that place; False if it does not hold it (any more)."""
        share = self._shares[partition]
        if not self.holds(member, partition, offset):
            return False
        share.taken.remove(offset)
        share.acked.add(offset)
        self._held[member] -= 1
        if not share.taken:
            share.holder = None
        while share.watermark in share.acked:
            share.acked.remove(share.watermark)
            share.watermark += 1
        return True
