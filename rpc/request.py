"""Calls as messages, and messages as calls. Pure; `rpc.headers` has the names."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import msgspec

from rpc.headers import (
    CANCEL,
    H_ATTEMPT,
    H_CALL,
    H_CLIENT,
    H_CONTENT_TYPE,
    H_IDEMPOTENCY_KEY,
    H_KIND,
    H_METHOD,
    H_REPLY_PARTITION,
    H_REPLY_TOPIC,
    H_SENT,
    H_TIMEOUT,
    H_VERSION,
    INT32,
    MAX_ID,
    READS_FRAMES,
    REQUEST,
    VERSION,
    VERSION_1,
    EnvelopeError,
    read_call_id,
    read_digits,
    read_optional_text,
    read_text,
    repeated,
)
from rpc.origin import Origin, Origins, read_origin, unread_origin
from transports.base import Address, Headers, Message

__all__ = [
    "MAX_IDEMPOTENCY_KEY",
    "Cancel",
    "MalformedRequest",
    "Request",
    "cancel_message",
    "decode_request",
    "request_headers",
    "request_message",
]

_MAX_TIMEOUT_MS = 2**53  # beyond it a float no longer tells milliseconds apart
MAX_IDEMPOTENCY_KEY = 255  # as the draft of the HTTP header Idempotency-Key suggests


class Request(msgspec.Struct, frozen=True, gc=False):  # holds bytes, text and tuples: no cycles
    """A call as it was read from the wire."""

    message: Message
    origin: Origin
    call_id: bytes
    timeout: float | None
    """Seconds left when it was sent; None where the caller named none (a foreign client)."""
    sent: float | None = None
    """When it was sent, in seconds of the broker's clock as the caller knew it; None: unknown."""
    attempt: int = 1
    idempotency_key: bytes | None = None
    """What names the work to be done, where its caller gave it a name."""

    @property
    def method(self) -> str:
        """The full name of the method."""
        return self.origin.method

    @property
    def client(self) -> str | None:
        """The instance id of the calling channel, as it says; None: unknown."""
        return self.origin.client

    @property
    def reply_to(self) -> Address:
        """Where its caller waits for the answer."""
        return self.origin.reply_to

    @property
    def content_type(self) -> str | None:
        """What its body is written in; None: unsaid."""
        return self.origin.content_type

    @property
    def frames(self) -> bool:
        """Whether several replies to its caller may travel in one record."""
        return self.origin.frames

    @property
    def body(self) -> bytes:
        """The arguments, encoded."""
        return self.message.body

    @property
    def key(self) -> bytes | None:
        """The routing key."""
        return self.message.key

    @property
    def headers(self) -> Mapping[str, bytes]:
        """Every header, control ones too; of others that stand twice the last."""
        return dict(self.message.headers)


class Cancel(NamedTuple):
    """The word of a client that it waits no longer for a call."""

    call_id: bytes
    client: str | None


class MalformedRequest(EnvelopeError):
    """A message that is no sound request."""

    def __init__(self, why: str, answerable: Request | None) -> None:
        super().__init__(why)
        self.answerable = answerable
        """What of it could be read, where that is enough to tell the caller."""


def request_headers(
    method: str, client: str, reply_to: Address, content_type: str, *, frames: bool = False
) -> Headers:
    """Return the headers that are the same for every call of one method on one channel.

    `frames`: whether the caller's transport takes several replies in one record.
    """
    headers = [(H_REPLY_TOPIC, reply_to.topic.encode())]
    if reply_to.partition is not None:
        headers.append((H_REPLY_PARTITION, INT32.pack(reply_to.partition)))
    return (
        *headers,
        (H_CONTENT_TYPE, content_type.encode()),
        VERSION_1,
        (H_KIND, REQUEST),
        (H_METHOD, method.encode()),
        (H_CLIENT, client.encode()),
        *((READS_FRAMES,) if frames else ()),
    )


def request_message(  # noqa: PLR0917 - naming eight arguments costs as much as the rest of it
    constant: Headers,
    call_id: bytes,
    timeout: float,
    body: bytes,
    key: bytes | None = None,
    attempt: int = 1,
    metadata: Headers = (),
    sent: float | None = None,
    idempotency_key: bytes | None = None,
) -> Message:
    """Return the request whose unchanging headers are `constant`, with `timeout` seconds left.

    The timeout is rounded up to a whole millisecond, so that what is left never reads as nothing;
    what is below zero is nothing. `sent` is the moment, in seconds of the broker's clock, from
    which on the timeout runs.
    """
    left = b"%d" % math.ceil(timeout * 1000) if timeout > 0 else b"0"
    headers = metadata + constant if metadata else constant
    if sent is None:
        headers += ((H_CALL, call_id), (H_TIMEOUT, left))
    else:
        headers += ((H_CALL, call_id), (H_TIMEOUT, left), (H_SENT, b"%d" % (sent * 1000)))
    if idempotency_key is not None:
        headers += ((H_IDEMPOTENCY_KEY, idempotency_key),)
    if attempt > 1:
        headers += ((H_ATTEMPT, b"%d" % attempt),)
    return Message(body, headers, key)


def cancel_message(call_id: bytes, method: str, client: str, key: bytes | None) -> Message:
    """Return the record that tells the server to give up a call."""
    headers: Headers = (
        VERSION_1,
        (H_KIND, CANCEL),
        (H_METHOD, method.encode()),
        (H_CLIENT, client.encode()),
        (H_CALL, call_id),
    )
    return Message(b"", headers, key)


def decode_request(message: Message, origins: Origins | None = None) -> Request | Cancel:
    """Read what a client sent. Raises `MalformedRequest` naming the header that is wrong.

    Where call id and reply address are sound, the error carries a request to answer. A message
    that does not say its kind is a request, as those of Spring's template. `origins` is what is
    known of neighbours, which makes it faster.
    """
    if origins is None:
        return _decode(message, Origins())
    headers = message.headers
    count, leading, origin = origins.last
    if origin is None or headers[:count] != leading:
        found = origins.find(headers)
        if found is None:
            return _decode(message, origins)
        count, origin = found
    if len(headers) == count + 3:
        (one, call_id), (two, timeout), (three, sent) = headers[count:]
        if one == H_CALL and two == H_TIMEOUT and three == H_SENT and 0 < len(call_id) <= MAX_ID:
            try:
                return Request(
                    message, origin, call_id, _timeout(timeout), read_digits(H_SENT, sent) / 1000
                )
            except EnvelopeError:
                pass  # told below
    return _decode(message, origins)


def _decode(message: Message, origins: Origins) -> Request | Cancel:
    headers = dict(message.headers)
    reply_to = None
    try:
        kind = headers.get(H_KIND, REQUEST)
        call_id = read_call_id(headers)
        if kind == CANCEL:
            return Cancel(call_id, read_optional_text(H_CLIENT, headers))
        if kind != REQUEST:
            raise EnvelopeError(f"{H_KIND} is neither request nor cancel")
        reply_to = _reply_to(headers.get(H_REPLY_TOPIC), headers.get(H_REPLY_PARTITION))
        if len(headers) != len(message.headers) and (twice := repeated(message.headers)):
            raise EnvelopeError(f"{twice} stands more than once")
        if headers.get(H_VERSION, VERSION) != VERSION:
            raise EnvelopeError(f"{H_VERSION} is not {VERSION.decode()}: the caller is newer")
        origin = read_origin(headers, reply_to, frames=origins.frames)
        request = Request(
            message,
            origin,
            call_id,
            _timeout(headers[H_TIMEOUT]) if H_TIMEOUT in headers else None,
            read_digits(H_SENT, headers[H_SENT]) / 1000 if H_SENT in headers else None,
            read_digits(H_ATTEMPT, headers[H_ATTEMPT]) if H_ATTEMPT in headers else 1,
            _idempotency_key(headers.get(H_IDEMPOTENCY_KEY)),
        )
    except EnvelopeError as error:
        answerable = None
        if reply_to is not None:
            origin = unread_origin(headers, reply_to)
            answerable = Request(message, origin, read_call_id(headers), None)
        raise MalformedRequest(str(error), answerable) from None
    origins.learn(message.headers, origin)
    return request


@lru_cache(maxsize=1024)  # each client has one
def _reply_to(topic: bytes | None, raw: bytes | None) -> Address:
    if not topic:
        raise EnvelopeError(f"{H_REPLY_TOPIC} is missing: nobody waits for an answer")
    if raw is None:
        return Address(read_text(H_REPLY_TOPIC, topic))
    if len(raw) != INT32.size or (partition := INT32.unpack(raw)[0]) < 0:
        raise EnvelopeError(f"{H_REPLY_PARTITION} is not a 4-byte big-endian partition number")
    return Address(read_text(H_REPLY_TOPIC, topic), partition)


@lru_cache(maxsize=64)  # neighbours mostly have the same
def _timeout(raw: bytes) -> float:
    milliseconds = read_digits(H_TIMEOUT, raw)
    if milliseconds > _MAX_TIMEOUT_MS:
        raise EnvelopeError(f"{H_TIMEOUT} is beyond {_MAX_TIMEOUT_MS}")
    return milliseconds / 1000


def _idempotency_key(raw: bytes | None) -> bytes | None:
    if raw is not None and not 0 < len(raw) <= MAX_IDEMPOTENCY_KEY:
        raise EnvelopeError(
            f"{H_IDEMPOTENCY_KEY} has {len(raw)} bytes, not 1 to {MAX_IDEMPOTENCY_KEY}"
        )
    return raw
