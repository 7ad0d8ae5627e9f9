"""The headers of calls and replies: their names, and how each is read. Pure.

The names and encodings are those of Spring's `ReplyingKafkaTemplate` (`kafka_correlationId`,
`kafka_replyTopic`, `kafka_replyPartition`), plus `rpc-` headers of our own; `docs/wire.md` is the
table, `tests/rpc/test_envelope.py` holds the golden bytes.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache

from transports.base import Headers

__all__ = [
    "CANCEL",
    "CLOCK",
    "CONTROL",
    "H_ATTEMPT",
    "H_CALL",
    "H_CLIENT",
    "H_CONTENT_TYPE",
    "H_FRAMES",
    "H_IDEMPOTENCY_KEY",
    "H_KIND",
    "H_METHOD",
    "H_REPLY_PARTITION",
    "H_REPLY_TOPIC",
    "H_RETRY_AFTER",
    "H_SENT",
    "H_STATUS",
    "H_TIMEOUT",
    "H_VERSION",
    "INT32",
    "MAX_ID",
    "MAX_TEXT",
    "READS_FRAMES",
    "REPLY",
    "REQUEST",
    "VERSION",
    "VERSION_1",
    "EnvelopeError",
    "is_control",
    "read_call_id",
    "read_digits",
    "read_optional_text",
    "read_text",
    "repeated",
]

VERSION = b"1"
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
H_FRAMES = "rpc-frames"

VERSION_1 = (H_VERSION, VERSION)
READS_FRAMES = (H_FRAMES, b"1")
"""What a peer says whose transport takes several messages in one record."""

CONTROL = frozenset({H_CALL, H_REPLY_TOPIC, H_REPLY_PARTITION, H_CONTENT_TYPE})
"""Header names that, beside every `rpc-` and `kafka_` one, are ours: never a caller's metadata."""

INT32 = struct.Struct(">i")
MAX_ID = 64  # bytes; ours are 16, Spring's text form 36, Nest's 21
MAX_TEXT = 249  # the longest topic name Kafka takes; method and client names are no longer


class EnvelopeError(ValueError):
    """A message that is no call or no reply: which header, and what is wrong with it."""


def is_control(name: str) -> bool:
    """Tell whether a header belongs to the protocol and so may not be a caller's metadata."""
    return name in CONTROL or name.startswith(("rpc-", "kafka_"))


def repeated(headers: Headers) -> str | None:
    """Return a control header that stands more than once: readers would differ about its value."""
    seen: set[str] = set()
    for name, _ in headers:
        if name in seen and is_control(name):
            return name
        seen.add(name)
    return None


def read_call_id(headers: Mapping[str, bytes]) -> bytes:
    call_id = headers.get(H_CALL, b"")
    if not 0 < len(call_id) <= MAX_ID:
        raise EnvelopeError(f"{H_CALL} has {len(call_id)} bytes, not 1 to {MAX_ID}")
    return call_id


@lru_cache(maxsize=1024)  # names that stand in every message of a method or a client
def read_text(name: str, raw: bytes) -> str:
    if len(raw) > MAX_TEXT:
        raise EnvelopeError(f"{name} has {len(raw)} bytes, more than {MAX_TEXT}")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise EnvelopeError(f"{name} is not UTF-8") from None


def read_optional_text(name: str, headers: Mapping[str, bytes]) -> str | None:
    raw = headers.get(name)
    return None if raw is None else read_text(name, raw)


def read_digits(name: str, raw: bytes) -> int:
    if not (raw.isdigit() and len(raw) <= 16):
        raise EnvelopeError(f"{name} is not a whole number")
    return int(raw)
