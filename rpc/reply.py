"""Replies as messages, and messages as replies. Pure; `rpc.headers` has the names."""

import math
from typing import NamedTuple

from contracts import Code
from rpc.headers import (
    CLOCK,
    H_ATTEMPT,
    H_CALL,
    H_CLIENT,
    H_CONTENT_TYPE,
    H_FRAMES,
    H_KIND,
    H_METHOD,
    H_RETRY_AFTER,
    H_STATUS,
    MAX_ID,
    MAX_TEXT,
    READS_FRAMES,
    REPLY,
    VERSION_1,
    EnvelopeError,
    read_call_id,
    read_digits,
    repeated,
)
from rpc.origin import Origin
from rpc.request import Request
from transports.base import Headers, Message

__all__ = [
    "Reply",
    "ReplyReader",
    "clock_message",
    "decode_reply",
    "is_clock",
    "reply_message",
]

STATUS_OK = b"OK"
_MEMO = 64  # kinds of replies: methods, ways to end, servers
_MEMO_HEADERS = 16
_KIND_REPLY = (H_KIND, REPLY)
_OK = (H_STATUS, STATUS_OK)


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
    frames: bool = False
    """Whether the server takes several requests in one record."""


_Before = tuple[bytes | None, bytes | None, Code | None, bytes | None]
"""The fields of a reply between its call id and its body."""
_Behind = tuple[int, float | None, bool]
"""Those behind its body."""


def reply_message(
    request: Request,
    code: Code | None,
    content_type: str,
    body: bytes,
    *,
    retry_after: float | None = None,
) -> Message:
    """Return the reply to `request`: `code` None is success; the key is echoed."""
    origin = request.origin
    kind = (None if code is None else code.value, content_type)
    headers = origin.replies.get(kind)
    if headers is None:
        headers = origin.replies[kind] = _reply_headers(origin, *kind)
    if request.attempt > 1:
        headers += ((H_ATTEMPT, b"%d" % request.attempt),)
    if retry_after is not None:
        headers += ((H_RETRY_AFTER, b"%d" % math.ceil(retry_after * 1000)),)
    # The call id comes last: what stands before it is the same in neighbours, and read faster so.
    return Message(body, (*headers, (H_CALL, request.call_id)), request.message.key)


def _reply_headers(origin: Origin, status: str | None, content_type: str) -> Headers:
    headers: Headers = (
        (H_CONTENT_TYPE, content_type.encode()),
        VERSION_1,
        _KIND_REPLY,
        (H_METHOD, origin.raw_method),
        _OK if status is None else (H_STATUS, status.encode()),
    )
    if origin.raw_client is not None:
        headers += ((H_CLIENT, origin.raw_client),)
    return (*headers, READS_FRAMES) if origin.frames else headers


def decode_reply(message: Message) -> Reply:
    """Read a reply from a message. Raises `EnvelopeError` where it can't be one."""
    headers = dict(message.headers)
    if headers.get(H_KIND, REPLY) != REPLY:
        raise EnvelopeError(f"{H_KIND} is not reply")
    if len(headers) != len(message.headers) and (twice := repeated(message.headers)):
        raise EnvelopeError(f"{twice} stands more than once")
    return Reply(
        read_call_id(headers),
        headers.get(H_CLIENT),
        headers.get(H_METHOD),
        _code(headers.get(H_STATUS, STATUS_OK)),
        headers.get(H_CONTENT_TYPE),
        message.body,
        read_digits(H_ATTEMPT, headers[H_ATTEMPT]) if H_ATTEMPT in headers else 1,
        _retry_after(headers.get(H_RETRY_AFTER)),
        H_FRAMES in headers,
    )


class ReplyReader:
    """Reads replies of which neighbours differ in little but the call id. Not thread-safe.

    What the headers before a call id say is remembered, as long as those are few and short; a reply
    with other headers, or another order of them, is read as `decode_reply` does.
    """

    def __init__(self) -> None:
        self._known: dict[Headers, tuple[_Before, _Behind]] = {}
        self._lead: Headers | None = None
        self._same: tuple[_Before, _Behind] = ((None, None, None, None), (1, None, False))

    def read(self, message: Message) -> Reply:
        """Do what `decode_reply` does."""
        headers = message.headers
        if not headers or headers[-1][0] != H_CALL:
            return decode_reply(message)
        call_id, lead = headers[-1][1], headers[:-1]
        if lead != self._lead:
            same = self._known.get(lead)
            if same is None:
                return self._learn(lead, decode_reply(message))
            self._lead, self._same = lead, same
        if not 0 < len(call_id) <= MAX_ID:
            return decode_reply(message)
        before, behind = self._same
        # Nine fields by name would cost more than all the rest.
        return tuple.__new__(Reply, (call_id, *before, message.body, *behind))

    def _learn(self, lead: Headers, reply: Reply) -> Reply:
        if len(lead) <= _MEMO_HEADERS and all(
            len(name) <= MAX_TEXT and len(value) <= MAX_TEXT for name, value in lead
        ):
            if len(self._known) >= _MEMO:
                self._known.clear()
            self._known[lead] = (reply[1:5], reply[6:])
        return reply


def clock_message() -> Message:
    """Return what is written to learn the broker's time from the answer; nobody reads it.

    It goes to a reply partition, where clients drop it: the one place that a server may write to,
    and where a client asks that may.
    """
    return Message(b"", (VERSION_1, (H_KIND, CLOCK)), b"")


def is_clock(message: Message) -> bool:
    """Tell whether a message is what `clock_message` makes, which is nobody's reply."""
    return (H_KIND, CLOCK) in message.headers


def _retry_after(raw: bytes | None) -> float | None:
    """Read a pushback; one that can't be read asks for no other attempt, as in gRPC (A6)."""
    if raw is None:
        return None
    return int(raw) / 1000 if raw.isdigit() and len(raw) <= 16 else -1.0


def _code(raw: bytes) -> Code | None:
    if raw == STATUS_OK:
        return None
    try:
        return Code(raw.decode("ascii", "replace"))
    except ValueError:
        return Code.UNKNOWN  # a newer server's code: still a failure
