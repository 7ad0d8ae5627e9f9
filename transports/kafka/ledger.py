"""What is noted beside a committed offset, and what a new owner of its partition makes of it. Pure.

A group's committed offset has room for a text, which outlives the member that wrote it. Here it
says which offsets beyond the committed one are settled already; whether the member let go of the
partition in order; and for which records members have died. Every owner writes a note before it
hands anything out, so that its successor sees that there was one.

A text that can't be read, of another version or of another offset, is as good as none.
"""

import base64
import json
import zlib
from collections.abc import Iterator
from typing import NamedTuple

__all__ = [
    "LIMIT",
    "SPAN",
    "SUSPECT",
    "Claim",
    "Crashes",
    "Note",
    "Offer",
    "claim",
    "read",
    "write",
]

LIMIT = 3000
"""Characters of a note; the broker's own bound is 4096 unless it is set otherwise."""
SPAN = 65_536
"""How many offsets beyond the committed one a note can speak of."""
SUSPECT = 2
"""From so many crashes on, a record is charged with another only where it had been begun."""

_PREFIX = "parley.1:"
_MOST_BYTES = 32_768
_MOST_RANGES = 64
_MOST_BEGUN = 64
_MOST_CRASHES = 255
_BEYOND = 1 << 62


class Crashes(NamedTuple):
    """How many owners ended without a word while they may have been at these records."""

    start: int
    stop: int
    """The first offset behind them."""
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
    """Suspects at which work has begun."""

    @property
    def upto(self) -> int:
        """The first offset that `settled` has no bit for."""
        return self.base + 8 * len(self.settled)

    def settles(self, offset: int) -> bool:
        """Whether `offset` is noted as settled."""
        byte, bit = divmod(offset - self.base, 8)
        return 0 <= byte < len(self.settled) and bool(self.settled[byte] >> bit & 1)


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
        crashes = tuple(_merged(_charged(found, doubt)))
    note = found._replace(handed_over=False, high=doubt, crashes=crashes, begun=frozenset())
    return Claim(base, note, doubt)


def _charged(found: Note, end: int) -> Iterator[Crashes]:
    """Count one more crash for all that may have been under way before `end`."""
    at = found.base
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
            for offset in sorted(found.begun):
                if at <= offset < stop:
                    yield Crashes(at, offset, count)
                    yield Crashes(offset, offset + 1, min(count + 1, _MOST_CRASHES))
                    at = offset + 1
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

    What does not fit is left away: settled offsets far from the committed one, then crashes, the
    fewest first. Nothing is noted where `limit` is too small for anything.
    """
    base = note.base
    worst = sorted(
        (one for one in note.crashes if one.stop > base), key=lambda one: (-one.times, one.start)
    )
    for most in (_MOST_RANGES, _MOST_RANGES // 4, 0):
        kept = note._replace(
            settled=note.settled[: SPAN // 8].rstrip(b"\0"),
            crashes=tuple(sorted(worst[:most])),
            begun=frozenset(sorted(note.begun)[: min(most, _MOST_BEGUN)]),
        )
        while True:
            text = _packed(kept)
            if len(text) <= limit:
                return text, kept
            if not kept.settled:
                break
            size = len(kept.settled) * limit * 9 // (len(text) * 10)
            kept = kept._replace(settled=kept.settled[:size].rstrip(b"\0"))
    return "", Note(base)


def _packed(note: Note) -> str:
    base = note.base
    head = [
        base,
        int(note.handed_over),
        max(0, note.high - base),
        [[max(0, start - base), stop - base, count] for start, stop, count in note.crashes],
        [offset - base for offset in sorted(note.begun)],
    ]
    data = json.dumps(head, separators=(",", ":")).encode() + b"\n" + note.settled
    return _PREFIX + base64.b64encode(zlib.compress(data)).decode()


def read(base: int, text: str) -> Note | None:
    """Return what was noted beside the committed offset `base`; None for what makes no sense."""
    if not text.startswith(_PREFIX):
        return None
    try:
        packed = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(packed, _MOST_BYTES)
        if not unpacking.eof or unpacking.unused_data:
            return None
        head, _, settled = data.partition(b"\n")
        return _understood(base, json.loads(head), settled)
    except (ValueError, TypeError, RecursionError, zlib.error):
        return None


def _understood(base: int, head: object, settled: bytes) -> Note:
    """Check each number. Raises `ValueError` or `TypeError`."""
    if not isinstance(head, list) or len(settled) > SPAN // 8:
        raise ValueError("not a note")
    at, handed_over, high, ranges, begun = head
    numbers = [at, handed_over, high, *begun, *(number for one in ranges for number in one)]
    if not all(type(number) is int and 0 <= number < _BEYOND for number in numbers):
        raise ValueError("not all are offsets")
    if at != base or len(ranges) > _MOST_RANGES or len(begun) > _MOST_BEGUN:
        raise ValueError("of another offset, or too long")
    crashes, last = [], 0
    for start, stop, count in ranges:
        if not (last <= start < stop and 1 <= count <= _MOST_CRASHES):
            raise ValueError("the ranges are not in order")
        crashes.append(Crashes(base + start, base + stop, count))
        last = stop
    return Note(
        base,
        settled,
        bool(handed_over),
        base + high,
        tuple(crashes),
        frozenset(base + offset for offset in begun),
    )
