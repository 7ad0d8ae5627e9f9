"""What is the same in every request for one method from one client: read once, kept for the next.

Neighbours in a topic mostly come from few clients, and nine of ten of their headers are the same.
Bounded: so many origins, each of so many bytes. Pure.
"""

from collections.abc import Mapping

import msgspec

from rpc.headers import (
    H_ATTEMPT,
    H_CALL,
    H_CLIENT,
    H_CONTENT_TYPE,
    H_FRAMES,
    H_IDEMPOTENCY_KEY,
    H_METHOD,
    H_SENT,
    H_TIMEOUT,
    read_optional_text,
    read_text,
)
from transports.base import Address, Headers

__all__ = ["Origin", "Origins", "read_origin", "unread_origin"]

_KEPT = 256  # origins; each client and method is one
_MAX_BYTES = 1024  # of the headers of one that is kept
_OF_CALLS = frozenset({H_CALL, H_TIMEOUT, H_SENT, H_IDEMPOTENCY_KEY, H_ATTEMPT})


class Origin(msgspec.Struct, frozen=True, eq=False):
    """Who calls which method, and how the answer gets there."""

    method: str
    client: str | None
    reply_to: Address
    content_type: str | None
    frames: bool
    """Whether several replies to the caller may travel in one record."""
    raw_method: bytes
    raw_client: bytes | None
    replies: dict[tuple[str | None, str], Headers]
    """The headers that replies have in common, by code and content type, once they were made."""


def read_origin(headers: Mapping[str, bytes], reply_to: Address, *, frames: bool) -> Origin:
    """Read the origin of a request; `frames`: whether we can pack replies. Raises `EnvelopeError`.

    `reply_to` is where the headers want the reply.
    """
    method = headers.get(H_METHOD, b"")
    return Origin(
        read_text(H_METHOD, method),
        read_optional_text(H_CLIENT, headers),
        reply_to,
        read_optional_text(H_CONTENT_TYPE, headers),
        frames and H_FRAMES in headers,
        method,
        headers.get(H_CLIENT),
        {},
    )


def unread_origin(headers: Mapping[str, bytes], reply_to: Address) -> Origin:
    """Return as much of the origin of a malformed request as it takes to answer it."""
    return Origin(
        method="",
        client=None,
        reply_to=reply_to,
        content_type=None,
        frames=False,
        raw_method=headers.get(H_METHOD, b""),
        raw_client=headers.get(H_CLIENT),
        replies={},
    )


class Origins:
    """The origins of the requests that came last, by the headers that stand for them. Any thread.

    Known are the headers that stand before the call id, of requests that were found sound, none of
    which is a call's own: whatever begins with them is sound as far as they go.
    """

    def __init__(self, *, frames: bool = True) -> None:
        self.frames = frames
        """Whether our own transport packs replies."""
        self.last: tuple[int, Headers, Origin | None] = (0, (), None)
        """How many headers the last one found has, which, and what they say."""
        self._known: dict[Headers, Origin] = {}

    def find(self, headers: Headers) -> tuple[int, Origin] | None:
        """Return how many of these headers are known, and what they say; None: nothing is.

        It becomes the `last`, which another thread may have replaced when this returns.
        """
        count = _common(headers, self.last[0])
        leading = headers[:count]
        origin = self._known.get(leading)
        if origin is None:
            return None
        self.last = (count, leading, origin)
        return count, origin

    def learn(self, headers: Headers, origin: Origin) -> None:
        """Note what a sound request with these headers says."""
        count = _common(headers, 0)
        leading = headers[:count]
        size = sum(len(name) + len(value) for name, value in leading)
        if size > _MAX_BYTES or any(name in _OF_CALLS for name, _ in leading):
            return
        if any(name not in _OF_CALLS for name, _ in headers[count:]):
            return  # what stands behind the call id says who calls, too
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[leading] = origin


def _common(headers: Headers, guess: int) -> int:
    """Return how many headers stand before the call id, looked for at `guess` first."""
    if guess < len(headers) and headers[guess][0] == H_CALL:
        return guess  # where one stands before it too, nothing is known of what leads
    for count, (name, _) in enumerate(headers):
        if name == H_CALL:
            return count
    return len(headers)
