"""Calls and replies as messages: what stands in which header, byte by byte.

The names and encodings are those of Spring's `ReplyingKafkaTemplate` (`kafka_correlationId`,
`kafka_replyTopic`, `kafka_replyPartition`), plus `rpc-` headers of our own; `docs/wire.md` is the
table, `tests/rpc/test_envelope.py` holds the golden bytes. Pure.
"""

import math
import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from contracts import Code
from transports.base import Address, Headers, Message

__all__ = [
    "CONTROL",
    "MAX_IDEMPOTENCY_KEY",
    "Cancel",
    "EnvelopeError",
    "Reply",
    "Request",
    "cancel_message",
    "clock_message",
    "decode_reply",
    "decode_request",
    "is_clock",
    "is_control",
    "reply_message",
    "request_headers",
    "request_message",
]

VERSION = b"1"
STATUS_OK = b"OK"
REQUEST = b"request"
REPLY = b"reply"
CANCEL = b"cancel"
CLOCK = b"clock"

H_CALL = "kafka_correlationId"
H_REPLY_TOPIC = "kafka_replyTopic"
H_REPLY_PARTITION = "kafka_replyPartition"
H_CONTENT_TYPE = "content-type"
H_VERSION = "rpc-version"
H_KIND = "rpc-kind"
H_METHOD = "rpc-method"
H_CLIENT = "rpc-client"
H_TIMEOUT = "rpc-timeout"
H_ATTEMPT = "rpc-attempt"
H_SENT = "rpc-sent"
H_IDEMPOTENCY_KEY = "rpc-idempotency-key"
H_RETRY_AFTER = "rpc-retry-after"
H_STATUS = "rpc-status"

_VERSION_1 = (H_VERSION, VERSION)
_KIND_REPLY = (H_KIND, REPLY)
_OK = (H_STATUS, STATUS_OK)

CONTROL = frozenset({H_CALL, H_REPLY_TOPIC, H_REPLY_PARTITION, H_CONTENT_TYPE})
"""Header names that, beside every `rpc-` and `kafka_` one, are ours: never a caller's metadata."""

_INT32 = struct.Struct(">i")
_MAX_TIMEOUT_MS = 2**53  # beyond it a float no longer tells milliseconds apart
MAX_IDEMPOTENCY_KEY = 255  # as the draft of the HTTP header Idempotency-Key suggests
_MAX_TEXT = 249  # the longest topic name Kafka takes; method and client names are no longer


class EnvelopeError(ValueError):
    """A message that is no call or no reply: which header, and what is wrong with it."""

    answerable: "Request | None" = None
    """What of the request could be read, where that is enough to tell the caller."""


class Request(NamedTuple):
    """A call as it stands on the wire, or as it was read from there."""

    call_id: bytes
    method: str
    client: str | None
    timeout: float | None
    """Seconds left when it was sent; None where the caller named none (a foreign client)."""
    reply_to: Address
    content_type: str | None
    body: bytes
    key: bytes | None
    attempt: int
    headers: Mapping[str, bytes]
    """Every header, control ones too; of others that stand twice the last."""
    sent: float | None = None
    """When it was sent, in seconds of the broker's clock as the caller knew it; None: unknown."""
    idempotency_key: bytes | None = None
    """What names the work to be done, where its caller gave it a name."""


class Cancel(NamedTuple):
    """The word of a client that it waits no longer for a call."""

    call_id: bytes
    client: str | None


class Reply(NamedTuple):
    """A reply as it was read from the wire."""

    call_id: bytes
    client: bytes | None
    method: bytes | None
    code: Code | None
    """None for success."""
    content_type: bytes | None
    body: bytes
    attempt: int = 1
    """Which attempt it answers."""
    retry_after: float | None = None
    """Seconds after which to try again, as the server asks; below 0: not at all; None: unsaid."""


def is_control(name: str) -> bool:
    """Tell whether a header belongs to the protocol and so may not be a caller's metadata."""
    return name in CONTROL or name.startswith(("rpc-", "kafka_"))


def request_headers(method: str, client: str, reply_to: Address, content_type: str) -> Headers:
    """Return the headers that are the same for every call of one method on one channel."""
    headers = [(H_REPLY_TOPIC, reply_to.topic.encode())]
    if reply_to.partition is not None:
        headers.append((H_REPLY_PARTITION, _INT32.pack(reply_to.partition)))
    return (
        *headers,
        (H_CONTENT_TYPE, content_type.encode()),
        _VERSION_1,
        (H_KIND, REQUEST),
        (H_METHOD, method.encode()),
        (H_CLIENT, client.encode()),
    )


def request_message(
    constant: Headers,
    call_id: bytes,
    timeout: float,
    body: bytes,
    *,
    key: bytes | None = None,
    attempt: int = 1,
    metadata: Headers = (),
    sent: float | None = None,
    idempotency_key: bytes | None = None,
) -> Message:
    """Return the request whose unchanging headers are `constant`, with `timeout` seconds left.

    The timeout is rounded up to a whole millisecond, so that what is left never reads as nothing.
    `sent` is the moment, in seconds of the broker's clock, from which on the timeout runs.
    """
    headers = (
        *metadata,
        *constant,
        (H_CALL, call_id),
        (H_TIMEOUT, b"%d" % math.ceil(timeout * 1000)),
    )
    if sent is not None:
        headers += ((H_SENT, b"%d" % (sent * 1000)),)
    if idempotency_key is not None:
        headers += ((H_IDEMPOTENCY_KEY, idempotency_key),)
    if attempt > 1:
        headers += ((H_ATTEMPT, b"%d" % attempt),)
    return Message(body, headers, key)


def clock_message() -> Message:
    """Return what a server writes to learn the broker's time from the answer; nobody reads it.

    It goes to a reply partition, the one place that a server may write to; clients drop it.
    """
    return Message(b"", (_VERSION_1, (H_KIND, CLOCK)), b"")


def cancel_message(call_id: bytes, method: str, client: str, key: bytes | None) -> Message:
    """Return the record that tells the server to give up a call."""
    headers: Headers = (
        _VERSION_1,
        (H_KIND, CANCEL),
        (H_METHOD, method.encode()),
        (H_CLIENT, client.encode()),
        (H_CALL, call_id),
    )
    return Message(b"", headers, key)


def reply_message(
    request: Request,
    code: Code | None,
    content_type: str,
    body: bytes,
    *,
    retry_after: float | None = None,
) -> Message:
    """Return the reply to `request`: `code` None is success; the key is echoed."""
    method, client = request.headers.get(H_METHOD, b""), request.headers.get(H_CLIENT)
    made: Callable[..., Headers] = _reply_headers
    if len(method) > _MAX_TEXT or len(client or b"") > _MAX_TEXT:
        made = _reply_headers.__wrapped__  # refused as too long, and not to be kept in memory
    headers = made(code, content_type, method, client)
    if request.attempt > 1:
        headers += ((H_ATTEMPT, b"%d" % request.attempt),)
    if retry_after is not None:
        headers += ((H_RETRY_AFTER, b"%d" % math.ceil(retry_after * 1000)),)
    # The call id comes last: what stands before it is the same in neighbours, and read faster so.
    return Message(body, (*headers, (H_CALL, request.call_id)), request.key)


@lru_cache(maxsize=1024)  # one for each client of a method, and each way a call may end
def _reply_headers(
    code: Code | None, content_type: str, method: bytes, client: bytes | None
) -> Headers:
    headers: Headers = (
        (H_CONTENT_TYPE, content_type.encode()),
        _VERSION_1,
        _KIND_REPLY,
        (H_METHOD, method),
        _OK if code is None else (H_STATUS, code.value.encode()),
    )
    return headers if client is None else (*headers, (H_CLIENT, client))


def decode_request(message: Message) -> Request | Cancel:
    """Read what a client sent. Raises `EnvelopeError` naming the header that is wrong.

    Where call id and reply address are sound, the error carries a request to answer. A message
    that does not say its kind is a request, as those of Spring's template.
    """
    headers = dict(message.headers)
    twice = None if len(headers) == len(message.headers) else _twice(message.headers)
    kind = headers.get(H_KIND, REQUEST)
    call_id = _call_id(headers)
    if kind == CANCEL:
        return Cancel(call_id, _optional_text(H_CLIENT, headers))
    if kind != REQUEST:
        raise EnvelopeError(f"{H_KIND} is neither request nor cancel")
    reply_to = _reply_to(headers.get(H_REPLY_TOPIC), headers.get(H_REPLY_PARTITION))
    try:
        if twice is not None:
            raise EnvelopeError(f"{twice} stands more than once")
        return _request(message, headers, call_id, reply_to)
    except EnvelopeError as error:
        error.answerable = Request(
            call_id, "", None, None, reply_to, None, b"", message.key, 1, headers
        )
        raise


def _request(
    message: Message, headers: Mapping[str, bytes], call_id: bytes, reply_to: Address
) -> Request:
    if headers.get(H_VERSION, VERSION) != VERSION:
        raise EnvelopeError(f"{H_VERSION} is not {VERSION.decode()}: the caller is newer")
    return Request(
        call_id,
        _text(H_METHOD, headers.get(H_METHOD, b"")),
        _optional_text(H_CLIENT, headers),
        _timeout(headers[H_TIMEOUT]) if H_TIMEOUT in headers else None,
        reply_to,
        _optional_text(H_CONTENT_TYPE, headers),
        message.body,
        message.key,
        _digits(H_ATTEMPT, headers[H_ATTEMPT]) if H_ATTEMPT in headers else 1,
        headers,
        _digits(H_SENT, headers[H_SENT]) / 1000 if H_SENT in headers else None,
        _idempotency_key(headers.get(H_IDEMPOTENCY_KEY)),
    )


def is_clock(message: Message) -> bool:
    """Tell whether a message is what `clock_message` makes, which is nobody's reply."""
    return (H_KIND, CLOCK) in message.headers


def decode_reply(message: Message) -> Reply:
    """Read a reply from a message. Raises `EnvelopeError` where it can't be one."""
    headers = dict(message.headers)
    if headers.get(H_KIND, REPLY) != REPLY:
        raise EnvelopeError(f"{H_KIND} is not reply")
    if len(headers) != len(message.headers) and (twice := _twice(message.headers)):
        raise EnvelopeError(f"{twice} stands more than once")
    return Reply(
        _call_id(headers),
        headers.get(H_CLIENT),
        headers.get(H_METHOD),
        _code(headers.get(H_STATUS, STATUS_OK)),
        headers.get(H_CONTENT_TYPE),
        message.body,
        _digits(H_ATTEMPT, headers[H_ATTEMPT]) if H_ATTEMPT in headers else 1,
        _retry_after(headers.get(H_RETRY_AFTER)),
    )


def _twice(headers: Headers) -> str | None:
    """Return a control header that stands more than once: readers would differ about its value."""
    seen: set[str] = set()
    for name, _ in headers:
        if name in seen and is_control(name):
            return name
        seen.add(name)
    return None


def _idempotency_key(raw: bytes | None) -> bytes | None:
    if raw is not None and not 0 < len(raw) <= MAX_IDEMPOTENCY_KEY:
        raise EnvelopeError(
            f"{H_IDEMPOTENCY_KEY} has {len(raw)} bytes, not 1 to {MAX_IDEMPOTENCY_KEY}"
        )
    return raw


def _retry_after(raw: bytes | None) -> float | None:
    """Read a pushback; one that can't be read asks for no other attempt, as in gRPC (A6)."""
    if raw is None:
        return None
    return int(raw) / 1000 if raw.isdigit() and len(raw) <= 16 else -1.0


def _call_id(headers: Mapping[str, bytes]) -> bytes:
    call_id = headers.get(H_CALL, b"")
    if not 0 < len(call_id) <= 64:  # ours are 16 bytes; Spring's text form 36, Nest's 21
        raise EnvelopeError(f"{H_CALL} has {len(call_id)} bytes, not 1 to 64")
    return call_id


@lru_cache(maxsize=1024)  # names that stand in every message of a method or a client
def _text(name: str, raw: bytes) -> str:
    if len(raw) > _MAX_TEXT:
        raise EnvelopeError(f"{name} has {len(raw)} bytes, more than {_MAX_TEXT}")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise EnvelopeError(f"{name} is not UTF-8") from None


def _optional_text(name: str, headers: Mapping[str, bytes]) -> str | None:
    raw = headers.get(name)
    return None if raw is None else _text(name, raw)


def _timeout(raw: bytes) -> float:
    milliseconds = _digits(H_TIMEOUT, raw)
    if milliseconds > _MAX_TIMEOUT_MS:
        raise EnvelopeError(f"{H_TIMEOUT} is beyond {_MAX_TIMEOUT_MS}")
    return milliseconds / 1000


def _digits(name: str, raw: bytes) -> int:
    if not (raw.isdigit() and len(raw) <= 16):
        raise EnvelopeError(f"{name} is not a whole number")
    return int(raw)


@lru_cache(maxsize=1024)  # each client has one
def _reply_to(topic: bytes | None, raw: bytes | None) -> Address:
    if not topic:
        raise EnvelopeError(f"{H_REPLY_TOPIC} is missing: nobody waits for an answer")
    if raw is None:
        return Address(_text(H_REPLY_TOPIC, topic))
    if len(raw) != _INT32.size or (partition := _INT32.unpack(raw)[0]) < 0:
        raise EnvelopeError(f"{H_REPLY_PARTITION} is not a 4-byte big-endian partition number")
    return Address(_text(H_REPLY_TOPIC, topic), partition)


def _code(raw: bytes) -> Code | None:
    if raw == STATUS_OK:
        return None
    try:
        return Code(raw.decode("ascii", "replace"))
    except ValueError:
        return Code.UNKNOWN  # a newer server's code: still a failure
