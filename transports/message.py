"""What travels, where to, and where it stands.

Values of which there are many at once are structs that the garbage collector does not look at: they
refer to nothing that could refer back.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from transports.errors import TransportError

__all__ = ["Address", "Headers", "Message", "OnSent", "Receipt"]

Headers = tuple[tuple[str, bytes], ...]
"""Name and value pairs in the order written; a name may stand more than once (last one wins)."""


class Address(NamedTuple):
    """Where messages go: a topic, and a partition of it or None where the transport may choose."""

    topic: str
    partition: int | None = None


class Message(msgspec.Struct, frozen=True, gc=False):
    """What travels: bytes, with headers and a routing key. Equal at both ends."""

    body: bytes
    headers: Headers = ()
    key: bytes | None = None


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """Where an acknowledged message stands."""

    topic: str
    partition: int
    offset: int
    part: int = 0
    """Which message of its record it is, where several share one."""


OnSent = Callable[[Receipt | TransportError], None]
"""Told once what became of a sent message; on a thread of the transport, so it may not block."""
