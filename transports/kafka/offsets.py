"""Which offsets may be committed, and which records are here already. Pure.

A group's committed offset says that everything before it is settled. Messages are settled in any
order, so what may be committed is the first one that is not: the watermark. A rebalance can bring
records again that are still in flight here; those are recognised.
"""

from collections.abc import Mapping

__all__ = ["Offsets", "PartitionLog"]


class PartitionLog:
    """What one member knows of one partition, for as long as its log is the same one."""

    __slots__ = ("_high", "_pending", "_seen", "committed", "held", "pending_bytes")

    def __init__(self) -> None:
        self.held = False
        """Whether the partition is assigned to us."""
        self.committed: int | None = None
        """The group's committed offset, as far as is known."""
        self.pending_bytes = 0
        self._pending: dict[int, int] = {}
        self._high = -1
        self._seen = -1

    def __len__(self) -> int:
        """How many messages are in flight."""
        return len(self._pending)

    def hold(self, start: int | None) -> None:
        """Begin an assignment at the committed offset `start`; what lies before is settled."""
        self.held = True
        self.committed = start
        self._seen = (start or 0) - 1
        for offset in [o for o in self._pending if start is not None and o < start]:
            self._drop(offset)

    def went_back(self, offset: int) -> bool:
        """Whether a record at `offset` can only be of another log: this assignment is past it."""
        return offset <= self._seen

    def take(self, offset: int, size: int) -> bool:
        """Put a record in flight; False if it is, or was, in flight here already."""
        self._seen = offset
        if offset <= self._high:
            return False
        self._high = offset
        self._pending[offset] = size
        self.pending_bytes += size
        return True

    def settle(self, offset: int) -> bool:
        """Take a message out of flight; False if it is not in flight."""
        return self._drop(offset)

    def watermark(self) -> int | None:
        """Return the offset to commit, or None when nothing new is settled."""
        position = next(iter(self._pending), self._high + 1)
        return position if self.held and position > (self.committed or 0) else None

    def confirm(self, offset: int) -> None:
        """Note a commit that succeeded, if it can be one of this log."""
        if offset <= self._high + 1:
            self.committed = max(offset, self.committed or 0)

    def _drop(self, offset: int) -> bool:
        size = self._pending.pop(offset, None)
        self.pending_bytes -= size or 0
        return size is not None


class Offsets:
    """The partitions of one topic, as one group member sees them. Guarded by its owner's lock."""

    __slots__ = ("_logs", "_topic_id")

    def __init__(self) -> None:
        self._logs: dict[int, PartitionLog] = {}
        self._topic_id: object = None

    def assign(self, starts: Mapping[int, int | None], topic_id: object) -> None:
        """Hold the partitions of `starts` from these committed offsets, and no others.

        A log that is not the one known before is begun anew: the topic has another id, or the
        group's offset has gone down.
        """
        if topic_id != self._topic_id:
            self._logs.clear()
            self._topic_id = topic_id
        self.release()
        for partition, start in starts.items():
            log = self._logs.setdefault(partition, PartitionLog())
            if log.committed is not None and (start is None or start < log.committed):
                log = self._logs[partition] = PartitionLog()
            log.hold(start)

    def release(self) -> None:
        """Hold nothing; what is in flight stays known."""
        for log in self._logs.values():
            log.held = False

    def take(self, partition: int, offset: int, size: int) -> PartitionLog | None:
        """Put a record in flight; return the log to settle it in.

        None if it is not to be handed out: it is here already, or the partition is not held.
        """
        log = self._logs.get(partition)
        if log is None or not log.held:
            return None
        if log.went_back(offset):
            log = self._logs[partition] = PartitionLog()
            log.hold(None)
        return log if log.take(offset, size) else None

    @property
    def in_flight(self) -> int:
        """How many messages were taken and not settled, of partitions held or lost."""
        return sum(map(len, self._logs.values()))

    @property
    def in_flight_bytes(self) -> int:
        """Likewise in bytes."""
        return sum(log.pending_bytes for log in self._logs.values())

    def drained(self) -> bool:
        """Whether nothing of the partitions held is in flight."""
        return not any(log.held and len(log) for log in self._logs.values())

    def committable(self) -> dict[int, int]:
        """Return what may be committed and is not yet, of the partitions held."""
        marks = {partition: log.watermark() for partition, log in self._logs.items()}
        return {partition: mark for partition, mark in marks.items() if mark is not None}

    def committed(self, offsets: Mapping[int, int]) -> None:
        """Note that a commit of `offsets` has succeeded; one of another log changes nothing."""
        for partition, offset in offsets.items():
            log = self._logs.get(partition)
            if log is not None and log.held:
                log.confirm(offset)
