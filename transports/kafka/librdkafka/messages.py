"""Messages as confluent-kafka takes them and gives them, whatever their bytes."""

import operator
from functools import lru_cache
from typing import Any

from transports.base import Address, Message
from transports.errors import MessageTooLarge
from transports.kafka.records import Record

__all__ = ["check", "record_of"]

_BATCH_OVERHEAD, _HEADER_OVERHEAD = 80, 4  # roughly: of a batch with one record, of a header
_RECORD_OVERHEAD = 20
_NOTHING = Message(b"")


def check(place: Address, message: Message, limit: int) -> None:
    """Raise `MessageTooLarge`, or `TypeError` and `ValueError` for what is no message.

    confluent-kafka crashes the process for headers that are not what it expects.
    """
    body, headers, key = message.body, message.headers, message.key
    size = _BATCH_OVERHEAD + _length(body) + (0 if key is None else _length(key))
    for name, value in headers:
        size += _HEADER_OVERHEAD + _name_length(name) + _length(value)
    if size > limit:
        raise MessageTooLarge(
            f"a message to {place.topic} takes {size} bytes, and max_message_bytes is "
            f"{limit}; send less, or raise max_message_bytes here and max.message.bytes of the "
            "topic"
        )


def _length(value: bytes) -> int:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} where bytes belong")
    return len(value)


@lru_cache(maxsize=1024)
def _name_length(name: str) -> int:
    """Return the length of a header's name as it is sent: there are few."""
    if not isinstance(name, str):
        raise TypeError(f"a header is named by {type(name).__name__}, not by str")
    if "\0" in name:
        raise ValueError("a header's name has a zero in it, where librdkafka would end it")
    return len(name.encode())


_headers_of = operator.methodcaller("headers")
"""Reads a message's headers, and raises where a name is not UTF-8.

confluent-kafka returns something then all the same. A call written out, once Python has specialised
it, does not see that an error was set, and crashes later; this one always looks.
"""


def record_of(message: Any) -> Record:
    """Return a message as the transport reads records, whatever its bytes."""
    _, timestamp = message.timestamp()
    offset, value, key = message.offset(), message.value() or b"", message.key()
    size = _RECORD_OVERHEAD + len(value) + len(key or b"")
    try:
        headers = _headers_of(message)
    except (SystemError, UnicodeDecodeError) as error:
        # Asked again, it would tell of headers that are no objects: it is asked once.
        problem = f"the record can't be read: {error.__cause__ or error}"
        return Record(offset, timestamp, _NOTHING, size, problem)
    if not headers:
        return Record(offset, timestamp, Message(value, (), key), size)
    if any(content is None for _, content in headers):
        headers = [(name, content or b"") for name, content in headers]
    size += sum([len(name) + len(content) for name, content in headers])
    return Record(offset, timestamp, Message(value, tuple(headers), key), size)
