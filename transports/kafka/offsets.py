"""Which offsets may be committed, and which records are here already. Pure.

A group's committed offset says that everything before it is settled. Messages are settled in any
order, so what may be committed is the first one that is not: the watermark. What is settled beyond
it is noted beside it (`ledger`). A rebalance can bring records again that are still in flight here;
those are recognised.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from transports.kafka.ledger import LIMIT, SPAN, SUSPECT, Claim, Note, write

__all__ = ["Mark", "Offsets", "PartitionLog"]


class Mark(NamedTuple):
    """What is to be committed of one partition."""

    offset: int
    text: str
    """The note beside it."""
    note: Note
    """As much as `text` says."""
    log: "PartitionLog"
    version: int

    def covers(self, offset: int) -> bool:
        """Whether it says of a settled offset that it is."""
        return offset < self.offset or self.note.settles(offset)


class PartitionLog:
    """What one member knows of one partition, for as long as its log is the same one."""

    __slots__ = (
        "_begun",
        "_confirmed",
        "_doubt",
        "_high",
        "_inherited",
        "_inherited_upto",
        "_pending",
        "_seen",
        "_version",
        "committed",
        "held",
        "pending_bytes",
    )

    def __init__(self) -> None:
        self.held = False
        """Whether the partition is assigned to us."""
        self.committed: int | None = None
        """The group's committed offset, as far as is known."""
        self.pending_bytes = 0
        self._pending: dict[int, int] = {}
        self._high = -1
        self._seen = -1
        self._inherited = Note(0)
        self._inherited_upto = 0
        self._doubt = 0
        self._begun: set[int] = set()
        self._version = self._confirmed = 0

    def __len__(self) -> int:
        """How many messages are in flight."""
        return len(self._pending)

    @property
    def changed(self) -> bool:
        """Whether there is something that no commit has confirmed."""
        return self._version != self._confirmed

    def hold(self, claim: Claim) -> None:
        """Begin an assignment; what lies before the committed offset, or is noted, is settled."""
        self.held = True
        self.committed = claim.committed
        self._inherited = note = claim.note
        self._inherited_upto = note.upto
        self._doubt = claim.doubt
        self._begun.clear()
        self._seen = note.base - 1
        for offset in [o for o in self._pending if o < note.base or note.settles(o)]:
            self._drop(offset)
        self._confirmed = self._version
        if self._high >= note.base:  # perhaps settled here meanwhile, which nobody was told
            self._version += 1

    def renew(self) -> "PartitionLog":
        """Give this log up for the one that has taken its place under the same name."""
        self.held = False
        log = PartitionLog()
        log.hold(Claim(None, Note(0), self._high + 1))
        return log

    def went_back(self, offset: int) -> bool:
        """Whether a record at `offset` can only be of another log: this assignment is past it."""
        return offset <= self._seen

    def take(self, offset: int, size: int) -> bool:
        """Put a record in flight; False if it is, or was, in flight here already, or is settled."""
        self._seen = offset
        if offset <= self._high:
            return False
        self._high = offset
        if offset < self._inherited_upto and self._inherited.settles(offset):
            self._version += 1
            return False
        self._pending[offset] = size
        self.pending_bytes += size
        return True

    def redelivered(self, offset: int) -> bool:
        """Whether another owner may have handed it out."""
        return offset < self._doubt

    def crashes(self, offset: int) -> int:
        """How many owners ended without a word while they may have been at it."""
        for start, stop, count in self._inherited.crashes:
            if start <= offset < stop:
                return count
        return 0

    def settle(self, offset: int) -> bool:
        """Take a message out of flight; False if it is not in flight."""
        return self._drop(offset)

    def begin(self, offset: int) -> None:
        """Note that work on a suspect begins; nothing of other messages."""
        if offset in self._pending and self.crashes(offset) >= SUSPECT:
            self._begun.add(offset)
            self._version += 1

    def in_flight(self, offset: int) -> bool:
        """Whether it is in flight here."""
        return offset in self._pending

    def begun(self, offset: int) -> bool:
        """Whether it is a suspect that has begun."""
        return offset in self._begun

    def mark(self, *, handed_over: bool = False, limit: int = LIMIT) -> Mark:
        """Return what is to be committed now."""
        base = max(next(iter(self._pending), self._high + 1), self._inherited.base)
        high = max(self._high + 1, self._doubt) if handed_over else base
        crashes = self._inherited.crashes
        note = Note(base, self._settled(base), handed_over, high, crashes, frozenset(self._begun))
        text, noted = write(note, limit)
        return Mark(base, text, noted, self, self._version)

    def confirm(self, mark: Mark) -> None:
        """Note a commit that succeeded."""
        self.committed = max(mark.offset, self.committed or 0)
        self._confirmed = max(self._confirmed, mark.version)

    def _settled(self, base: int) -> bytes:
        """Return a bit for each offset from `base` on."""
        taken, end = self._high + 1 - base, self._inherited_upto - base
        if taken <= len(self._pending) and end <= max(taken, 0):
            return b""  # nothing but what is in flight
        size = min(max(taken, end), SPAN)
        known = max(0, min(taken, size))
        bits = bytearray(b"\xff" * (known // 8) + bytes((size - known + 7) // 8 + 1))
        if known % 8:
            bits[known // 8] = (1 << known % 8) - 1
        for offset in self._pending:
            index = offset - base
            if index >= known:
                break
            bits[index >> 3] &= ~(1 << (index & 7))
        for index in range(known, min(end, size)):
            if self._inherited.settles(base + index):
                bits[index >> 3] |= 1 << (index & 7)
        return bytes(bits)

    def _drop(self, offset: int) -> bool:
        size = self._pending.pop(offset, None)
        if size is None:
            return False
        self.pending_bytes -= size
        self._version += 1
        if self._begun:
            self._begun.discard(offset)
        return True


class Offsets:
    """The partitions of one topic, as one group member sees them. Guarded by its owner's lock."""

    __slots__ = ("_logs", "_topic_id")

    def __init__(self) -> None:
        self._logs: dict[int, PartitionLog] = {}
        self._topic_id: object = None

    def assign(self, claims: Mapping[int, Claim], topic_id: object) -> None:
        """Hold these partitions from their committed offsets, and no others.

        A log that is not the one known before is begun anew: the topic has another id, or the
        group's offset has gone down.
        """
        self.release()
        if topic_id != self._topic_id:
            self._logs.clear()
            self._topic_id = topic_id
        for partition, claim in claims.items():
            log, start = self._logs.setdefault(partition, PartitionLog()), claim.committed
            if log.committed is not None and (start is None or start < log.committed):
                log = self._logs[partition] = PartitionLog()
            log.hold(claim)

    def release(self) -> None:
        """Hold nothing; what is in flight stays known."""
        for log in self._logs.values():
            log.held = False

    def take(self, partition: int, offset: int, size: int) -> PartitionLog | None:
        """Put a record in flight; return the log to settle it in.

        None if it is not to be handed out: it is here already, it is settled, or the partition is
        not held.
        """
        log = self._logs.get(partition)
        if log is None or not log.held:
            return None
        if log.went_back(offset):
            log = self._logs[partition] = log.renew()
        return log if log.take(offset, size) else None

    @property
    def in_flight(self) -> int:
        """How many messages were taken and not settled, of partitions held or lost."""
        return sum(map(len, self._logs.values()))

    @property
    def in_flight_bytes(self) -> int:
        """Likewise in bytes."""
        return sum(log.pending_bytes for log in self._logs.values())

    @property
    def changed(self) -> bool:
        """Whether there is something to commit of the partitions held."""
        return any(log.held and log.changed for log in self._logs.values())

    def drained(self) -> bool:
        """Whether nothing of the partitions held is in flight."""
        return not any(log.held and len(log) for log in self._logs.values())

    def committable(
        self, wanted: Collection[PartitionLog] = (), limit: int = LIMIT
    ) -> dict[int, Mark]:
        """Return what is to be committed of partitions held: those that changed, or are wanted."""
        return {
            partition: log.mark(limit=limit)
            for partition, log in self._logs.items()
            if log.held and (log.changed or log in wanted)
        }

    def handover(self, limit: int = LIMIT) -> dict[int, Mark]:
        """Return what is to be committed of all partitions held, as the last word of their owner.

        Nothing may be handed out afterwards.
        """
        return {
            partition: log.mark(handed_over=True, limit=limit)
            for partition, log in self._logs.items()
            if log.held
        }

    def committed(self, marks: Mapping[int, Mark]) -> None:
        """Note that a commit has succeeded; one of another log changes nothing."""
        for partition, mark in marks.items():
            if self._logs.get(partition) is mark.log and mark.log.held:
                mark.log.confirm(mark)
