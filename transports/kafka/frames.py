"""Several messages in one record: writing such frames, and taking them apart. Pure.

A frame is a record with two headers, `rpc-frame`, which tells how many messages it has, and the
content type. Its value is a msgpack array with `[shared, headers, key, body]` for each message:
`shared` is how many of its first headers are those of the message before. A record costs the
drivers and the broker about ten times as much as a message in a frame.
"""

from collections.abc import Iterator, Sequence

import msgspec

from transports.base import Headers, Message
from transports.kafka.records import Record

__all__ = [
    "CONTENT_TYPE",
    "COUNT",
    "MOST_BYTES",
    "MOST_MESSAGES",
    "messages_in",
    "pack",
    "take_apart",
    "unpack",
]

COUNT = "rpc-frame"
"""The header that makes a record a frame; it is the first."""
CONTENT_TYPE = b"application/vnd.parley.frame+msgpack"
MOST_MESSAGES = 64
MOST_BYTES = 131_072
"""Of a frame's value: as much as one request to a broker takes of one partition."""

_MOST_SHARED = 255
"""So that a few bytes can't stand for millions of headers."""
_NOTHING = Message(b"")

_Packed = tuple[int, tuple[tuple[str, bytes], ...], bytes | None, bytes]
_DECODER = msgspec.msgpack.Decoder(list[_Packed])
_ENCODER = msgspec.msgpack.Encoder()
_FRAME_HEADERS: tuple[Headers, ...] = tuple(
    ((COUNT, b"%d" % count), ("content-type", CONTENT_TYPE)) for count in range(MOST_MESSAGES + 1)
)
_COUNTS = {b"%d" % count: count for count in range(1, MOST_MESSAGES + 1)}


def pack(
    messages: Sequence[Message], most_bytes: int = MOST_BYTES
) -> Iterator[tuple[Message, int]]:
    """Yield records for `messages`, in their order, each with how many messages it has.

    A frame's value is at most `most_bytes` long. A message alone is yielded as it is, and so is
    what could not be read again: whoever writes the record says what is wrong with it.
    """
    packed: list[tuple[int, Headers, bytes | None, bytes]] = []
    total, last = 0, _NOTHING
    before: Headers = ()
    for message in messages:
        body, headers, key = message.body, message.headers, message.key
        shared = 0
        for one, other in zip(headers, before, strict=False):
            if one is not other and one != other:
                break
            shared += 1
        size = _most(body, headers[shared:], key)
        if packed and (not size or total + size > most_bytes or len(packed) == MOST_MESSAGES):
            yield _record(packed, last), len(packed)
            packed, total, shared = [], 0, 0
            size = _most(body, headers, key)
        if not size:
            yield message, 1
            before = ()
            continue
        packed.append((shared, headers[shared:] if shared else headers, key, body))
        total += size
        before, last = headers[:_MOST_SHARED], message
    if packed:
        yield _record(packed, last), len(packed)


def _record(packed: list[tuple[int, Headers, bytes | None, bytes]], only: Message) -> Message:
    if len(packed) == 1:
        return only
    return Message(_ENCODER.encode(packed), _FRAME_HEADERS[len(packed)])


def _most(body: bytes, headers: Headers, key: bytes | None) -> int:
    """Return how many bytes a message can take in a frame; 0 where it had better be alone.

    That is one whose types or names are not what they should be, or not plainly so.
    """
    if type(body) is not bytes:
        return 0
    size = 24 + 11 * len(headers) + len(body)
    if key is not None:
        if type(key) is not bytes:
            return 0
        size += len(key)
    try:
        for name, content in headers:
            if type(content) is not bytes or not name.isascii():
                return 0
            size += len(name) + len(content)
    except (AttributeError, TypeError, ValueError):
        return 0
    return size


def unpack(message: Message) -> list[Message]:
    """Return the messages of a frame. Raises `ValueError` for one that makes no sense.

    Headers that messages share are the same objects in all of them.
    """
    headers, value = message.headers, message.body
    count = _COUNTS.get(headers[0][1])
    if count is None:
        raise ValueError(f"{COUNT} is {headers[0][1][:20]!r}, not 1 to {MOST_MESSAGES}")
    if dict(headers).get("content-type") != CONTENT_TYPE:
        raise ValueError("its content type is of no frame")
    try:
        packed = _DECODER.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if len(packed) != count:
        raise ValueError(f"it has {len(packed)} messages, and {COUNT} says {count}")
    messages: list[Message] = []
    before: Headers = ()
    for shared, own, key, body in packed:
        if shared:
            if not 0 < shared <= min(len(before), _MOST_SHARED):
                raise ValueError(f"a message shares {shared} headers of {len(before)} before it")
            before = before[:shared] + own
        else:
            before = own
        messages.append(Message(body, before, key))
    return messages


def messages_in(record: Record) -> int:
    """Return how many messages there are in a record, as it says itself."""
    headers = record.message.headers
    if record.parts == 1 and headers and headers[0][0] == COUNT:
        return _COUNTS.get(headers[0][1], 1)
    return 1


def take_apart(record: Record) -> Sequence[Record]:
    """Return the messages of a frame, as parts of its record.

    What is no frame, or was taken out of one, stands for itself. A frame that makes no sense
    becomes one record with a problem.
    """
    message = record.message
    if record.parts > 1 or not message.headers or message.headers[0][0] != COUNT:
        return (record,)
    try:
        messages = unpack(message)
    except ValueError as error:
        problem = f"the frame can't be read: {error}"
        return (Record(record.offset, record.timestamp, _NOTHING, record.size, problem),)
    offset, timestamp, count = record.offset, record.timestamp, len(messages)
    share = record.size // count + 1
    return [
        Record(offset, timestamp, one, share, None, part, count)
        for part, one in enumerate(messages)
    ]
