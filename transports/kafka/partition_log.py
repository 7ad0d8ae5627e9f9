"""What one member knows of one partition: what is in flight, and what may be committed. Pure.

A group's committed offset says that everything before it is settled. Messages are settled in any
order, so what may be committed is the first one that is not: the watermark. What is settled beyond
it is noted beside it (`ledger`). A rebalance can bring records again that are still in flight here;
those are recognised.

A record that is a frame has several messages, its parts, each of which is settled by itself; the
offset is, once all are. Several records that are chunks are one message, which stands at the last.
"""

from collections.abc import Sequence
from typing import NamedTuple

from transports.kafka.chunk_offsets import ChunkOffsets
from transports.kafka.ledger import LIMIT, SUSPECT, Claim, Note, position, write
from transports.kafka.parts import Parts
from transports.kafka.settled_bits import settled_bits

__all__ = ["Mark", "PartitionLog"]


class Mark(NamedTuple):
    """What is to be committed of one partition."""

    offset: int
    text: str
    """The note beside it."""
    note: Note
    """As much as `text` says."""
    log: "PartitionLog"
    version: int

    def covers(self, offset: int, part: int = 0) -> bool:
        """Whether it says of a settled message that it is."""
        return offset < self.offset or self.note.settles_part(offset, part)


class PartitionLog:
    """What one member knows of one partition, for as long as its log is the same one."""

    __slots__ = (
        "_begun",
        "_chunks",
        "_confirmed",
        "_doubt",
        "_frames",
        "_high",
        "_in_flight",
        "_inherited",
        "_inherited_parts",
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
        self._frames: dict[int, Parts] = {}
        self._chunks = ChunkOffsets()
        self._in_flight = 0
        self._high = -1
        self._seen = -1
        self._inherited = Note(0)
        self._inherited_upto = 0
        self._inherited_parts: dict[int, int] = {}
        self._doubt = 0
        self._begun: set[int] = set()
        self._version = self._confirmed = 0

    def __len__(self) -> int:
        """How many messages are in flight."""
        return self._in_flight

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
        self._inherited_parts = dict(note.parts)
        self._doubt = claim.doubt
        self._begun.clear()
        self._seen = position(note.base) - 1
        for offset in [o for o in self._pending if o < note.base or note.settles(o)]:
            self._drop(offset)
        for offset, mask in note.parts:
            self._settle_parts(offset, mask)
        self._confirmed = self._version
        if self._high >= note.base:  # perhaps settled here meanwhile, which nobody was told
            self._version += 1

    def renew(self) -> "PartitionLog":
        """Give this log up for the one that has taken its place under the same name."""
        self.held = False
        log = PartitionLog()
        log.hold(Claim(None, Note(0), self._high + 1))
        return log

    def went_back(self, offset: int, part: int = 0) -> bool:
        """Whether a message there can only be of another log: this assignment is past it."""
        return position(offset, part) <= self._seen

    def take(self, offset: int, size: int, part: int = 0, parts: int = 1) -> bool:
        """Put a message in flight, which may be one of several `parts` of its record.

        False if it is, or was, in flight here already, or is settled.
        """
        self._seen = position(offset, part)
        if offset > self._high:
            self._high = offset
            if offset < self._inherited_upto and self._inherited.settles(offset):
                self._version += 1
                return False
            if parts == 1:
                self._pending[offset] = size
                self._in_flight += 1
                self.pending_bytes += size
                return True
            frame = Parts(parts, self._inherited_parts.get(offset, 0), size)
            if not frame.left:
                self._version += 1
                return False
            self._frames[offset] = frame
            self._pending[offset] = 0
        return self._take_part(offset, 1 << part)

    def _take_part(self, offset: int, bit: int) -> bool:
        frame = self._frames.get(offset)
        if frame is None or not bit & frame.left & ~frame.handed:
            return False
        frame.handed |= bit
        self._in_flight += 1
        self.pending_bytes += frame.share
        return True

    def reserve(self, offset: int) -> bool:
        """Keep a chunk from being settled until it is known what becomes of its message.

        False if the message is, or was, in flight here already, or is settled.
        """
        self._seen = position(offset)
        if offset <= self._high:
            return self._chunks.waits(offset)
        self._high = offset
        if offset < self._inherited_upto and self._inherited.settles(offset):
            self._version += 1
            return False
        self._pending[offset] = 0
        self._chunks.add(offset)
        return True

    def bind(self, offsets: Sequence[int], size: int) -> bool:
        """Put the message in flight that these chunks are; False unless all are reserved."""
        if not self._chunks.bind(offsets):
            return False
        self._pending[offsets[-1]] = size
        self._in_flight += 1
        self.pending_bytes += size
        return True

    def redelivered(self, offset: int) -> bool:
        """Whether another owner may have handed it out."""
        return offset < self._doubt

    def crashes(self, offset: int, part: int = 0) -> int:
        """How many owners ended without a word while they may have been at it."""
        at = position(offset, part)
        for start, stop, count in self._inherited.crashes:
            if start <= at < stop:
                return count
        return 0

    def settle(self, offset: int, part: int = 0) -> bool:
        """Take a message out of flight; False if it is not in flight."""
        if offset not in self._frames:
            return part == 0 and self._drop(offset)
        return self.in_flight(offset, part) and self._settle_parts(offset, 1 << part)

    def give_back(self, offset: int, part: int = 0) -> bool:
        """Take a message of a lost partition out of flight, unsettled: it may be taken once more.

        False where the partition is held, the message is not in flight, or it came in chunks.
        """
        if self.held or not self.in_flight(offset, part) or self._chunks.binds(offset):
            return False
        frame = self._frames.get(offset)
        if frame is None:  # from now on a frame of one, for those know what was handed out
            frame = self._frames[offset] = Parts(1, 0, self._pending[offset])
            self._pending[offset] = 0
        frame.handed &= ~(1 << part)
        self._in_flight -= 1
        self.pending_bytes -= frame.share
        return True

    def begin(self, offset: int, part: int = 0) -> None:
        """Note that work on a suspect begins; nothing of other messages."""
        if self.in_flight(offset, part) and self.crashes(offset, part) >= SUSPECT:
            self._begun.add(position(offset, part))
            self._version += 1

    def in_flight(self, offset: int, part: int = 0) -> bool:
        """Whether it is in flight here."""
        frame = self._frames.get(offset)
        if frame is None:
            return part == 0 and offset in self._pending
        return bool(frame.left & frame.handed & 1 << part)

    def begun(self, offset: int, part: int = 0) -> bool:
        """Whether it is a suspect that has begun."""
        return position(offset, part) in self._begun

    def mark(self, *, handed_over: bool = False, limit: int = LIMIT) -> Mark:
        """Return what is to be committed now."""
        base = max(next(iter(self._pending), self._high + 1), self._inherited.base)
        high = max(self._high + 1, self._doubt) if handed_over else base
        crashes = self._inherited.crashes
        begun, parts = frozenset(self._begun), self._parts()
        settled = settled_bits(base, self._high, self._pending, self._inherited)
        note = Note(base, settled, handed_over, high, crashes, begun, parts)
        text, noted = write(note, limit)
        return Mark(base, text, noted, self, self._version)

    def confirm(self, mark: Mark) -> None:
        """Note a commit that succeeded."""
        self.committed = max(mark.offset, self.committed or 0)
        self._confirmed = max(self._confirmed, mark.version)

    def _parts(self) -> tuple[tuple[int, int], ...]:
        """Return which parts are settled of frames that are not wholly."""
        if not (self._frames or self._inherited_parts):
            return ()
        here = [(offset, frame.every & ~frame.left) for offset, frame in self._frames.items()]
        ahead = [one for one in self._inherited_parts.items() if one[0] > self._high]
        return (*(one for one in here if one[1]), *ahead)

    def _settle_parts(self, offset: int, bits: int) -> bool:
        """Settle these parts of a frame, taken or not; False where it is none that is known."""
        frame = self._frames.get(offset)
        if frame is None:
            return False
        flying = (frame.left & frame.handed & bits).bit_count()
        self._in_flight -= flying
        self.pending_bytes -= flying * frame.share
        frame.left &= ~bits
        self._version += 1
        if self._begun:
            for part in range(bits.bit_length()):
                if bits >> part & 1:
                    self._begun.discard(position(offset, part))
        if not frame.left:
            del self._frames[offset], self._pending[offset]
        return True

    def _drop(self, offset: int) -> bool:
        """Take a whole record out of flight; False if it is not in flight."""
        frame = self._frames.get(offset)
        if frame is not None:
            return self._settle_parts(offset, frame.every)
        size = self._pending.pop(offset, None)
        if size is None:
            return False
        if self._chunks.forget(offset):
            self._version += 1
            return True
        for other in self._chunks.take_others(offset):
            self._pending.pop(other, None)
        self._in_flight -= 1
        self.pending_bytes -= size
        self._version += 1
        if self._begun:
            self._begun.discard(position(offset))
        return True
