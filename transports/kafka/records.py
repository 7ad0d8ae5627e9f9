"""Reads the records of one batch, whatever their bytes. Pure.

kafka-python reads header names as strict UTF-8, so that one record, which the broker and the Java
client accept, spoils its whole batch. Here such a record is told as a problem, and its neighbours
are read.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import msgspec

from transports.base import Headers, Message

__all__ = ["Base", "HeadersMemo", "Record", "read_records"]

_NOTHING = Message(b"")
_SHORTEST = 6  # a byte for each field; what claims less was never a record, nor is what follows


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record as it came: its place, its time in milliseconds, and what it says."""

    offset: int
    timestamp: int
    message: Message
    size: int
    problem: str | None = None
    part: int = 0
    """Which message of its frame it is, where it was in one."""
    parts: int = 1
    """How many messages that frame has."""


class _Shape(NamedTuple):
    """What a header looks like in a record, up to its value."""

    lead: bytes
    name: str
    length: int
    """Bytes of the value."""


class HeadersMemo:
    """The headers of the record before, which those of its neighbours mostly repeat.

    Half of the time of reading a record would go into headers that are the same in all of a batch:
    the first ones wholly, the others in name and length.
    """

    __slots__ = ("_last", "headers", "prefix", "shapes")

    def __init__(self) -> None:
        self.prefix = b""
        """What the headers remembered look like in a batch."""
        self.headers: Headers = ()
        self.shapes: tuple[_Shape, ...] = ()
        """Of the headers that followed."""
        self._last: Headers = ()

    def learn(self, headers: Headers, data: bytes, start: int, ends: list[int]) -> None:
        """Remember the headers in which this record agrees with the one before."""
        same = 0
        for own, other in zip(headers, self._last, strict=False):
            if own != other:
                break
            same += 1
        ends = [start, *ends]
        self._last = headers
        self.prefix = data[start : ends[same]]
        self.headers = headers[:same]
        self.shapes = tuple(
            _Shape(data[at : to - len(value)], name, len(value))
            for (name, value), (at, to) in zip(headers[same:], pairwise(ends[same:]), strict=True)
        )


class Base(NamedTuple):
    """What the records of a batch are relative to."""

    offset: int
    timestamp: int
    append_timestamp: int | None
    """The broker's time, which stands for all; None where each has its producer's."""


def read_records(data: bytes, position: int, count: int, base: Base) -> Iterator[Record]:
    """Yield `count` records of a version 2 batch from `data` at `position`, decompressed.

    A record that can't be read is yielded with its `problem`; one that hides its own length ends
    the batch, and stands for the rest of it.
    """
    memo = HeadersMemo()
    for index in range(count):
        try:
            length, start = _varint(data, position)
            end = start + length
            if length < _SHORTEST or end > len(data):
                raise ValueError(f"a record claims {length} bytes of {len(data) - start}")
        except (IndexError, ValueError) as error:
            problem = f"the rest of the batch can't be read: {error}"
            yield Record(base.offset + index, base.timestamp, _NOTHING, 0, problem)
            return
        try:
            yield _read(data, start, end, base, memo)
        except (IndexError, ValueError) as error:
            offset = base.offset + _offset_delta(data, start, index)
            stamp = base.timestamp if base.append_timestamp is None else base.append_timestamp
            yield Record(offset, stamp, _NOTHING, length, f"the record can't be read: {error}")
        position = end


def _read(data: bytes, position: int, end: int, base: Base, memo: HeadersMemo) -> Record:
    size = end - position
    base_offset, first_timestamp, timestamp = base
    delta, position = _varint(data, position + 1)
    if timestamp is None:
        timestamp = first_timestamp + delta
    delta, position = _varint(data, position)
    key, position = _bytes(data, position, end)
    body, position = _bytes(data, position, end)
    headers, position = _headers(data, position, end, memo)
    if position != end:
        raise ValueError(f"{end - position} bytes are left over")
    return Record(base_offset + delta, timestamp, Message(body or b"", headers, key), size)


def _headers(data: bytes, position: int, end: int, memo: HeadersMemo) -> tuple[Headers, int]:
    count, position = _varint(data, position)
    if count == 0:
        return (), position
    if not 0 <= count <= end - position:
        raise ValueError(f"{count} headers")
    if memo.headers and data.startswith(memo.prefix, position, end):
        if count == len(memo.headers) + len(memo.shapes):
            return _alike(data, position + len(memo.prefix), end, memo)
        if count >= len(memo.headers):
            position += len(memo.prefix)
            tail, position, _ = _read_headers(data, position, end, count - len(memo.headers))
            return memo.headers + tail, position
    start = position
    headers, position, ends = _read_headers(data, position, end, count)
    memo.learn(headers, data, start, ends)
    return headers, position


def _alike(data: bytes, position: int, end: int, memo: HeadersMemo) -> tuple[Headers, int]:
    """Read, behind the headers remembered, as many others as there were before."""
    headers = list(memo.headers)
    for lead, name, length in memo.shapes:
        if data.startswith(lead, position, end):
            start = position + len(lead)
            position = start + length  # beyond the end: the record's length tells
            headers.append((name, data[start:position]))
        else:
            other, position, _ = _read_headers(data, position, end, 1)
            headers += other
    return tuple(headers), position


def _read_headers(
    data: bytes, position: int, end: int, count: int
) -> tuple[Headers, int, list[int]]:
    headers: list[tuple[str, bytes]] = []
    ends: list[int] = []
    for _ in range(count):
        name, position = _bytes(data, position, end)
        if name is None:
            raise ValueError("a header has no name")
        value, position = _bytes(data, position, end)
        headers.append((name.decode(), value or b""))
        ends.append(position)
    return tuple(headers), position, ends


def _bytes(data: bytes, position: int, end: int) -> tuple[bytes | None, int]:
    """Read nullable bytes that must end by `end`."""
    length = data[position]
    if length < 0x80:
        length = (length >> 1) ^ -(length & 1)
        position += 1
    else:
        length, position = _varint(data, position)
    if length < 0:
        return None, position
    stop = position + length
    if stop > end:
        raise ValueError(f"a field of {length} bytes reaches beyond its record")
    return data[position:stop], stop


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Read a zigzag varint of up to ten bytes."""
    byte = data[position]
    position += 1
    if byte < 0x80:  # one byte or two: nearly all there are
        return (byte >> 1) ^ -(byte & 1), position
    value, byte = byte & 0x7F, data[position]
    if byte < 0x80:
        value |= byte << 7
        return (value >> 1) ^ -(value & 1), position + 1
    shift = 7
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), position
        shift += 7
        if shift > 63:
            raise ValueError("a number is longer than ten bytes")


def _offset_delta(data: bytes, position: int, expected: int) -> int:
    """Return a bad record's place in its batch, or the expected one where that is bad too."""
    try:
        _, position = _varint(data, position + 1)
        return _varint(data, position)[0]
    except (IndexError, ValueError):
        return expected
