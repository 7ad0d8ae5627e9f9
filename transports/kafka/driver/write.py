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

from transports.base import Headers

__all__ = ["BatchBuilder", "encoded_record"]

_NULL = b"\x01"  # a length of -1
_NO_ATTRIBUTES = b"\x00"
_MOST_REMEMBERED = 256  # bytes of a header's value; longer ones are hardly the same twice


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


@lru_cache(maxsize=4096)
def _header(name: str, value: bytes) -> bytes:
    """Return a header as it stands in a record; most are the same in every record."""
    raw = name.encode()
    return _varint(len(raw)) + raw + _varint(len(value)) + value


def encoded_record(
    offset: int, timestamp_delta: int, key: bytes | None, body: bytes | None, headers: Headers
) -> bytes:
    """Return a record of format version 2, its length first."""
    parts = [_NO_ATTRIBUTES, _varint(timestamp_delta), _varint(offset)]
    for field in (key, body):
        parts += (_NULL,) if field is None else (_varint(len(field)), field)
    parts.append(_varint(len(headers)))
    parts += [
        _header(name, value) if len(value) <= _MOST_REMEMBERED else _header.__wrapped__(name, value)
        for name, value in headers
    ]
    record = b"".join(parts)
    return _varint(len(record)) + record


class BatchBuilder(MemoryRecordsBuilder):  # type: ignore[misc]  # kafka-python is untyped
    """A batch that is being filled."""

    def __init__(self, compression: int, batch_size: int) -> None:
        super().__init__(2, compression, batch_size)
        self._records: DefaultRecordBatchBuilder = self._builder

    def put(self, key: bytes | None, body: bytes | None, headers: Headers) -> bool:
        """Append a record of now; False when the batch is full or closed. The first always fits."""
        if self._closed:
            return False
        builder, now = self._records, int(time.time() * 1000)
        first = now if builder._first_timestamp is None else builder._first_timestamp
        record = encoded_record(self._next_offset, now - first, key, body, headers)
        if builder._num_records and len(builder._buffer) + len(record) > builder._batch_size:
            return False
        builder._first_timestamp = first
        builder._max_timestamp = max(now, builder._max_timestamp or now)
        builder._num_records += 1
        builder._last_offset = self._next_offset
        builder._buffer += record
        self._next_offset += 1
        return True
