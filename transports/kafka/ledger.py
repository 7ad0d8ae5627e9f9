"""What is noted beside a committed offset, and what a new owner of its partition makes of it. Pure.

A group's committed offset has room for a text, which outlives the member that wrote it. Here it
says which offsets beyond the committed one are settled already, and which parts of frames that are
not wholly; whether the member let go of the partition in order; and for which messages members have
died. Every owner writes a note before it hands anything out, so that its successor sees that there
was one.

A message stands at a position: the offset of its record, and which part of that record it is.

A text that can't be read, of another version or of another offset, is as good as none.
"""

import base64
import json
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

__all__ = [
    "LIMIT",
    "PARTS",
    "SPAN",
    "SUSPECT",
    "Claim",
    "Crashes",
    "Note",
    "Offer",
    "claim",
    "position",
    "read",
    "write",
]

LIMIT = 3000
"""Characters of a note; the broker's own bound is 4096 unless it is set otherwise."""
SPAN = 65_536
"""How many offsets beyond the committed one a note can speak of."""
SUSPECT = 2
"""From so many crashes on, a message is charged with another only where it had been begun."""
PARTS = 64
"""How many messages a record has at most."""

_PREFIX = "parley.2:"
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_MOST_BYTES = 65_536
_MOST_FRAMES = 256
_MOST_RANGES = 64
_MOST_BEGUN = 64
_MOST_CRASHES = 255
_BEYOND = 1 << 62


def position(offset: int, part: int = 0) -> int:
    """Return where a message stands, as a number that grows in the order of the partition."""
    return offset * PARTS + part


class Crashes(NamedTuple):
    """How many owners ended without a word while they may have been at these messages."""

    start: int
    """A position."""
    stop: int
    """The first position behind them."""
    times: int


class Note(NamedTuple):
    """What one note says."""

    base: int
    """The committed offset: all before it is settled."""
    settled: bytes = b""
    """One bit for each offset from `base` on, the lowest bit of the first byte first."""
    handed_over: bool = False
    """Whether the owner let go of the partition in order, and handed nothing out afterwards."""
    high: int = 0
    """Of what was handed over: the first offset that was never handed out."""
    crashes: tuple[Crashes, ...] = ()
    """Ascending, without overlaps."""
    begun: frozenset[int] = frozenset()
    """Positions of suspects at which work has begun."""
    parts: tuple[tuple[int, int], ...] = ()
    """Offsets of frames of which some messages are settled, ascending, with a bit for each."""

    @property
    def upto(self) -> int:
        """The first offset that `settled` has no bit for."""
        return self.base + 8 * len(self.settled)

    def settles(self, offset: int) -> bool:
        """Whether all of the record at `offset` is noted as settled."""
        byte, bit = divmod(offset - self.base, 8)
        return 0 <= byte < len(self.settled) and bool(self.settled[byte] >> bit & 1)

    def settles_part(self, offset: int, part: int) -> bool:
        """Whether one message of it is."""
        return self.settles(offset) or any(
            mask >> part & 1 for at, mask in self.parts if at == offset
        )


class Offer(NamedTuple):
    """A partition as its new owner finds it."""

    committed: int | None
    """The group's offset; None where there never was one."""
    text: str
    """What is noted beside it."""
    start: int
    """Where to begin if nothing is committed."""
    end: int
    """Where the log ended once nobody else could be handing out."""


class Claim(NamedTuple):
    """What the new owner of a partition begins with, and commits before it hands anything out."""

    committed: int | None
    """The group's offset as it was found; None where there never was one."""
    note: Note
    """The state that was taken over, in the new owner's words."""
    doubt: int
    """Offsets below may have been handed out before; from here on none has."""


def claim(offer: Offer) -> Claim:
    """Take a partition over.

    An owner that did not hand it over has crashed: it may have handed out everything that was in
    the log, and may have died of it.
    """
    if offer.committed is None:
        return Claim(None, Note(offer.start, high=offer.start), offer.start)
    base = offer.committed
    found = read(base, offer.text) or Note(base)
    if found.handed_over:
        crashes, doubt = found.crashes, found.high
    else:
        doubt = max(base, offer.end)
        crashes = tuple(_merged(_charged(found, position(doubt))))
    note = found._replace(handed_over=False, high=doubt, crashes=crashes, begun=frozenset())
    return Claim(base, note, doubt)


def _charged(found: Note, end: int) -> Iterator[Crashes]:
    """Count one more crash for all that may have been under way before `end`."""
    at = position(found.base)
    for start, known_stop, count in found.crashes:
        if start >= end:
            break
        stop = min(known_stop, end)
        if at < start:
            yield Crashes(at, start, 1)
        at = max(at, start)
        if count < SUSPECT:
            yield Crashes(at, stop, count + 1)
        else:
            for guilty in sorted(found.begun):
                if at <= guilty < stop:
                    yield Crashes(at, guilty, count)
                    yield Crashes(guilty, guilty + 1, min(count + 1, _MOST_CRASHES))
                    at = guilty + 1
            yield Crashes(at, stop, count)
        at = stop
    if at < end:
        yield Crashes(at, end, 1)


def _merged(ranges: Iterator[Crashes]) -> Iterator[Crashes]:
    last: Crashes | None = None
    for one in ranges:
        if one.start >= one.stop:
            continue
        if last is not None and last.stop == one.start and last.times == one.times:
            last = last._replace(stop=one.stop)
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last


def write(note: Note, limit: int = LIMIT) -> tuple[str, Note]:
    """Return the note as a text of at most `limit` characters, and as much of it as that says.

    What does not fit is left away: settled parts of frames and then settled offsets, far from the
    committed one first, then crashes, the fewest first. Nothing is noted where `limit` is too small
    for anything.
    """
    base = note.base
    worst = sorted(
        (one for one in note.crashes if one.stop > position(base)),
        key=lambda one: (-one.times, one.start),
    )
    for most in (_MOST_RANGES, _MOST_RANGES // 4, 0):
        kept = note._replace(
            settled=note.settled[: SPAN // 8].rstrip(b"\0"),
            crashes=tuple(sorted(worst[:most])),
            begun=frozenset(sorted(note.begun)[: min(most, _MOST_BEGUN)]),
            parts=note.parts[:_MOST_FRAMES],
        )
        while True:
            text = _packed(kept)
            if len(text) <= limit:
                return text, kept
            if kept.parts:
                kept = kept._replace(parts=kept.parts[: len(kept.parts) // 2])
                continue
            if not kept.settled:
                break
            size = len(kept.settled) * limit * 9 // (len(text) * 10)
            kept = kept._replace(settled=kept.settled[:size].rstrip(b"\0"))
    return "", Note(base)


def _packed(note: Note) -> str:
    base, first = note.base, position(note.base)
    head = [
        base,
        int(note.handed_over),
        max(0, note.high - base),
        [[max(0, start - first), stop - first, count] for start, stop, count in note.crashes],
        [begun - first for begun in sorted(note.begun)],
        [[offset - base, mask] for offset, mask in note.parts],
    ]
    data = json.dumps(head, separators=(",", ":")).encode() + b"\n" + note.settled
    return _PREFIX + base64.b64encode(zlib.compress(data)).decode()


def read(base: int, text: str) -> Note | None:
    """Return what was noted beside the committed offset `base`; None for what makes no sense.

    What stands behind a note is passed over: librdkafka writes a zero there, and reads on beyond
    the end of a text that has none.
    """
    found = _BASE64.match(text, len(_PREFIX))
    if found is None or not text.startswith(_PREFIX):
        return None
    try:
        packed = base64.b64decode(found[0], validate=True)
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(packed, _MOST_BYTES)
        if not unpacking.eof:
            return None
        head, _, settled = data.partition(b"\n")
        return _understood(base, json.loads(head), settled)
    except (ValueError, TypeError, RecursionError, zlib.error):
        return None


def _understood(base: int, head: object, settled: bytes) -> Note:
    """Check each number. Raises `ValueError` or `TypeError`."""
    if not isinstance(head, list) or len(settled) > SPAN // 8:
        raise ValueError("not a note")
    at, handed_over, high, ranges, begun, frames = head
    numbers = [at, handed_over, high, *begun, *(number for one in ranges for number in one)]
    numbers += [offset for offset, _ in frames]
    if not all(type(number) is int and 0 <= number < _BEYOND for number in numbers):
        raise ValueError("not all are offsets")
    if not all(type(mask) is int and 0 < mask < 1 << PARTS for _, mask in frames):
        raise ValueError("not all are parts")
    if at != base or len(ranges) > _MOST_RANGES or len(begun) > _MOST_BEGUN:
        raise ValueError("of another offset, or too long")
    if len(frames) > _MOST_FRAMES or sorted({offset for offset, _ in frames}) != [
        offset for offset, _ in frames
    ]:
        raise ValueError("the frames are too many, or not in order")
    crashes, last, first = [], 0, position(base)
    for start, stop, count in ranges:
        if not (last <= start < stop and 1 <= count <= _MOST_CRASHES):
            raise ValueError("the ranges are not in order")
        crashes.append(Crashes(first + start, first + stop, count))
        last = stop
    return Note(
        base,
        settled,
        bool(handed_over),
        base + high,
        tuple(crashes),
        frozenset(first + one for one in begun),
        tuple((base + offset, mask) for offset, mask in frames),
    )
