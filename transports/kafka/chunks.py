"""A message in several records: cutting it up, and putting it together again. Pure.

A message that is too large for one record goes as chunks to one partition, in order: records whose
first header is `rpc-chunk`, with the set's id, the place in it and how many there are. Each has the
message's key and a slice of its body; the last has its headers too. Chunks of several messages may
stand between each other, and one may stand twice, where a driver's retry appended it again.
"""

import re
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from transports.base import Message
from transports.kafka.records import Record

__all__ = ["CHUNK", "Assembled", "Assembler", "is_chunk", "size_in_chunks", "split"]

CHUNK = "rpc-chunk"
"""The header that makes a record a chunk; it is the first."""

_OVERHEAD = 256
"""More bytes than a chunk takes beside key, headers and body, in a batch of its own."""
_HEADER = 10
"""More bytes than a header takes beside its name and its value."""
_MOST_CHUNKS = 65_536
_MOST_SETS = 256
_MOST_ENDED = 4096
_HELD = 128
"""Bytes that a chunk which waits takes beside its record."""
_NOTHING = Message(b"")
_VALUE = re.compile(rb"([0-9a-f]{16})/(0|[1-9][0-9]{0,4})/([1-9][0-9]{0,4})")

S = TypeVar("S", bound=Hashable)


class _Layout(NamedTuple):
    """How a message is cut up."""

    room: int
    """Bytes of the body in each chunk but the last."""
    chunks: int
    size: int
    """Bytes that all chunks take at most."""


def _layout(message: Message, most_bytes: int) -> _Layout:
    """Raises `ValueError`."""
    body, headers, key = message.body, message.headers, message.key
    around = _OVERHEAD + len(key or b"")
    own = sum(_HEADER + len(name.encode()) + len(value) for name, value in headers)
    room = most_bytes - around
    if room <= own:
        raise ValueError(f"its key and its headers leave no room in {most_bytes} bytes")
    beyond = max(0, len(body) - (room - own))
    count = 1 + -(-beyond // room)
    if count > _MOST_CHUNKS:
        raise ValueError(f"it would be {count} chunks, and {_MOST_CHUNKS} are the most")
    return _Layout(room, count, len(body) + own + count * around)


def size_in_chunks(message: Message, most_bytes: int) -> int:
    """Return how many bytes all chunks take at most. Raises `ValueError` as `split` does."""
    return _layout(message, most_bytes).size


def split(message: Message, set_id: str, most_bytes: int) -> list[Message]:
    """Return the chunks of a message, each of at most `most_bytes` with all that a record has.

    `set_id` are 16 hexadecimal digits. Raises `ValueError` where key and headers leave no room, or
    it would be too many.
    """
    body, headers, key = message.body, message.headers, message.key
    room, count, _ = _layout(message, most_bytes)
    chunks: list[Message] = []
    for index in range(count):
        first = (CHUNK, b"%s/%d/%d" % (set_id.encode(), index, count))
        piece = bytes(body[index * room : (index + 1) * room])
        rest = headers if index == count - 1 else ()
        chunks.append(Message(piece, (first, *rest), key))
    return chunks


def is_chunk(record: Record) -> bool:
    """Whether a record says that it is one; what came in a frame is none."""
    if record.parts > 1:
        return False
    headers = record.message.headers
    return bool(headers) and headers[0][0] == CHUNK


class Assembled(NamedTuple, Generic[S]):
    """What is known of some records now: they are one message, or nothing more is to be had."""

    source: S
    offsets: tuple[int, ...]
    """All its records, ascending."""
    record: Record | None
    """The message, at the place of its last record, or a problem; None: settle the records."""


class _Set:
    """The chunks of one message, as far as they have come."""

    __slots__ = ("began", "bytes", "count", "last", "offsets", "pieces")

    def __init__(self, count: int, began: int) -> None:
        self.count = count
        self.began = began
        self.bytes = 0
        self.offsets: list[int] = []
        self.pieces: dict[int, bytes] = {}
        self.last = _NOTHING

    def record(self, timestamp: int) -> Record:
        """Return the message."""
        body = b"".join([self.pieces[index] for index in range(self.count)])
        message = Message(body, self.last.headers[1:], self.last.key)
        return Record(self.offsets[-1], timestamp, message, self.bytes)


class Assembler(Generic[S]):
    """The messages of which some chunks have come, by where they come from. Not thread-safe.

    Bounded in bytes and in messages: beyond that, those that have waited longest for their next
    chunk are given up, which are those of senders that are gone. Of one source records come in the
    order in which they stand.
    """

    def __init__(self, most_bytes: int, patience: float) -> None:
        """Give a message up `patience` seconds after its first chunk, by the records' own time."""
        self._most_bytes = most_bytes
        self._patience = patience
        self._sets: dict[tuple[S, bytes], _Set] = {}
        self._ended: dict[tuple[S, bytes], None] = {}
        self.bytes = 0
        """How much waits."""

    def __len__(self) -> int:
        """How many messages have not all come."""
        return len(self._sets)

    def clear(self) -> None:
        """Forget everything."""
        self._sets.clear()
        self._ended.clear()
        self.bytes = 0

    def add(self, source: S, record: Record) -> list[Assembled[S]]:
        """Take a chunk; return what is known now, which is mostly nothing."""
        try:
            key, index, count = self._parsed(source, record)
        except ValueError as error:
            return [Assembled(source, (record.offset,), _problem(record, str(error)))]
        if key in self._ended:
            return [Assembled(source, (record.offset,), None)]
        found = self._sets.pop(key, None) or _Set(count, record.timestamp)
        self._sets[key] = found  # behind all others: it is the last that got anything
        found.offsets.append(record.offset)
        size = _HELD
        if index not in found.pieces:
            found.pieces[index] = record.message.body
            size += record.size
            if index == count - 1:
                found.last = record.message
        found.bytes += size
        self.bytes += size
        if len(found.pieces) == count:
            self._end(key)
            return [Assembled(source, tuple(found.offsets), found.record(record.timestamp))]
        return self._shrink()

    def skip(self, source: S, record: Record) -> list[Assembled[S]]:
        """Pass a chunk over that is settled, or in flight, already: so are all of its message."""
        try:
            key, _, _ = self._parsed(source, record)
        except ValueError:
            return []
        found = self._end(key)
        return [] if found is None else [Assembled(source, tuple(found.offsets), None)]

    def expire(self, source: S, timestamp: int) -> list[Assembled[S]]:
        """Return what is given up where a source has come to this time, in milliseconds."""
        late = timestamp - 1000 * self._patience
        keys = [key for key, s in self._sets.items() if key[0] == source and s.began < late]
        return [self._give_up(key, f"not within {self._patience:g} s") for key in keys]

    def messages(self, source: S, record: Record) -> list[Record]:
        """Return what is to be handed out now, where nothing is settled: also a plain record."""
        known = self.expire(source, record.timestamp)
        if not is_chunk(record):
            return [*(one.record for one in known if one.record is not None), record]
        known += self.add(source, record)
        return [one.record for one in known if one.record is not None]

    def _parsed(self, source: S, record: Record) -> tuple[tuple[S, bytes], int, int]:
        """Return which set a chunk is of, and its place. Raises `ValueError`."""
        value = record.message.headers[0][1]
        match = _VALUE.fullmatch(value)
        if match is None:
            raise ValueError(f"{CHUNK} is {value[:40]!r}, not <16 hexadecimal digits>/<n>/<count>")
        key, index, count = (source, match[1]), int(match[2]), int(match[3])
        if not index < count <= _MOST_CHUNKS:
            raise ValueError(f"it is chunk {index} of {count}")
        found = self._sets.get(key)
        if found is not None and found.count != count:
            raise ValueError(f"it is one of {count} chunks, and others are of {found.count}")
        return key, index, count

    def _shrink(self) -> list[Assembled[S]]:
        """Give up what has waited longest, as far as there is too much."""
        given_up: list[Assembled[S]] = []
        while self.bytes > self._most_bytes or len(self._sets) > _MOST_SETS:
            why = (
                f"and more than {_MOST_SETS} messages or {self._most_bytes} bytes (the larger of "
                "max_unacked_bytes and max_chunked_bytes) would wait for the rest"
            )
            given_up.append(self._give_up(next(iter(self._sets)), why))
        return given_up

    def _give_up(self, key: tuple[S, bytes], why: str) -> Assembled[S]:
        found = self._sets[key]
        self._end(key)
        text = f"a message in chunks is given up: {len(found.pieces)} of {found.count} came, {why}"
        record = Record(found.offsets[-1], found.began, _NOTHING, 0, text)
        return Assembled(key[0], tuple(found.offsets), record)

    def _end(self, key: tuple[S, bytes]) -> _Set | None:
        """Take nothing more of a set."""
        self._ended[key] = None
        if len(self._ended) > _MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        found = self._sets.pop(key, None)
        if found is not None:
            self.bytes -= found.bytes
        return found


def _problem(record: Record, why: str) -> Record:
    text = f"the chunk can't be read: {why}"
    return Record(record.offset, record.timestamp, _NOTHING, record.size, text)
