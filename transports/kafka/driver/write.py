# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""Writing records into a batch, with what is the same in all of them written once.

Stock writes each header byte by byte, which for a request with nine of them is the larger part of
sending it.
"""

import time
from functools import lru_cache

from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecordsBuilder

from transports.base import Headers, Message

__all__ = ["BatchBuilder", "RecordTooLarge"]

_NULL = b"\x01"  # a length of -1
_NO_ATTRIBUTES = b"\x00"
_BATCH_OVERHEAD = DefaultRecordBatchBuilder.HEADER_STRUCT.size


class RecordTooLarge(Exception):
    """A record takes more bytes than it may."""

    def __init__(self, size: int) -> None:
        super().__init__(f"it takes {size} bytes")
        self.size = size


@lru_cache(maxsize=4096)
def _varint(number: int) -> bytes:
    """Return `number` as a zigzag varint."""
    value = (number << 1) ^ (number >> 63)
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


@lru_cache(maxsize=256)
def _name(name: str) -> bytes:
    """Return the name of a header as it stands in a record: there are few."""
    raw = name.encode()
    return _varint(len(raw)) + raw


def _headers(headers: Headers) -> bytes:
    return b"".join([_name(name) + _varint(len(value)) + value for name, value in headers])


class BatchBuilder(MemoryRecordsBuilder):  # type: ignore[misc]  # kafka-python is untyped
    """A batch that is being filled."""

    def __init__(self, compression: int, batch_size: int) -> None:
        super().__init__(2, compression, batch_size)
        self._records: DefaultRecordBatchBuilder = self._builder
        self._shared: Headers = ()
        self._shared_bytes = b""

    def put(self, message: Message, limit: int) -> bool:
        """Append a record of now; False when the batch is full or closed. The first always fits.

        Raises `RecordTooLarge` for one that takes more than `limit` bytes in a batch of its own.
        """
        if self._closed:
            return False
        builder, now = self._records, int(time.time() * 1000)
        first = now if builder._first_timestamp is None else builder._first_timestamp
        record = self.encoded(self._next_offset, now - first, message)
        size = len(record)
        if builder._num_records and len(builder._buffer) + size > builder._batch_size:
            return False
        if size > limit - _BATCH_OVERHEAD:
            raise RecordTooLarge(size + _BATCH_OVERHEAD)
        builder._first_timestamp = first
        builder._max_timestamp = max(now, builder._max_timestamp or now)
        builder._num_records += 1
        builder._last_offset = self._next_offset
        builder._buffer += record
        self._next_offset += 1
        return True

    def encoded(self, offset: int, timestamp_delta: int, message: Message) -> bytes:
        """Return a record of format version 2, its length first."""
        body, headers, key = message.body, message.headers, message.key
        # All headers but the last two are mostly those of the record before.
        shared = headers[:-2]
        if shared != self._shared:
            self._shared, self._shared_bytes = shared, _headers(shared)
        record = b"".join(
            (
                _NO_ATTRIBUTES,
                _varint(timestamp_delta),
                _varint(offset),
                _NULL if key is None else _varint(len(key)) + key,
                _NULL if body is None else _varint(len(body)),
                body or b"",
                _varint(len(headers)),
                self._shared_bytes,
                _headers(headers[-2:]),
            )
        )
        return _varint(len(record)) + record
