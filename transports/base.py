"""The joint between calls and whatever moves their bytes.

A transport delivers messages to addresses, **at least once**, in order **per key only**. Everything
else - correlation, deadlines, retries, errors - is policy above it; everything about a broker is an
adapter below it. The suite in `transports.conformance` holds each sentence of these docstrings
against an implementation, ours or a third party's.
"""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from transports.errors import TransportError

__all__ = [
    "Address",
    "Delivery",
    "Headers",
    "Message",
    "OnSent",
    "OpenTransport",
    "Receipt",
    "Receiver",
    "Send",
    "Transport",
]

Headers = tuple[tuple[str, bytes], ...]
"""Name and value pairs in the order written; a name may stand more than once (last one wins)."""


class Address(NamedTuple):
    """Where messages go: a topic, and a partition of it or None where the transport may choose."""

    topic: str
    partition: int | None = None


class Message(NamedTuple):
    """What travels: bytes, with headers and a routing key. Equal at both ends."""

    body: bytes
    headers: Headers = ()
    key: bytes | None = None


class Receipt(NamedTuple):
    """Where an acknowledged message stands."""

    topic: str
    partition: int
    offset: int


OnSent = Callable[[Receipt | TransportError], None]
"""Told once what became of a sent message; on a thread of the transport, so it may not block."""


Send = Callable[[Address, Message, OnSent], None]
"""What `Transport.send` is, for those who send and need nothing else of a transport."""


class Delivery:
    """One received message, owned by the receiver until `ack` is called."""

    __slots__ = ("_settle", "age", "message", "problem", "receipt")

    def __init__(
        self,
        message: Message,
        receipt: Receipt,
        age: float,
        settle: Callable[["Delivery"], None],
        problem: str | None = None,
    ) -> None:
        self.message = message
        self.receipt = receipt
        self.age = age
        """Seconds from the moment it was appended to the moment it was received; never negative."""
        self.problem = problem
        """Why the message could not be read (its headers and body are then empty), else None."""
        self._settle = settle

    def ack(self) -> None:
        """Settle the message: it is not delivered again.

        Any thread, any order; a second call does nothing. On a private inbox it does nothing. One
        that is settled while an earlier one of its partition is not may come again after a crash:
        what is kept of a group is a watermark.
        """
        self._settle(self)


class Receiver(Protocol):
    """A source of deliveries, pulled: whoever does not ask is not flooded."""

    @property
    def address(self) -> Address:
        """Where to send what this receiver shall get; a private inbox names its partition."""
        ...

    def receive(self, max_wait: float) -> Sequence[Delivery]:
        """Return what has arrived, waiting at most `max_wait` seconds for the first of it.

        From one thread at a time. Empty when nothing came or the receiver is closed. What is taken
        and not acknowledged stays bounded: beyond the transport's bound nothing more is handed out
        until some of it is. Raises a `TransportError` for what will not heal by itself (a missing
        right, a deleted topic); faults that may pass are ridden out and logged.
        """
        ...

    def close(self, timeout: float) -> None:
        """Settle what was acknowledged, give the rest back to others, and stop, within `timeout`.

        Any thread; ends a `receive` that waits. A second call does nothing. Never raises.
        """
        ...


class Transport(Protocol):
    """Moves messages. All methods may be called from any thread."""

    @property
    def client_id(self) -> str:
        """The name of the client application, in the field's sense; names its reply address."""
        ...

    def prepare(self, address: Address, timeout: float) -> None:
        """Make `address` fit to be sent to, within `timeout` seconds, creating it where allowed.

        Blocks. Raises a `TransportError` that says what is missing and how to get it.
        """
        ...

    def send(self, address: Address, message: Message, on_sent: OnSent) -> None:
        """Hand `message` over; `on_sent` is called exactly once, perhaps before this returns.

        Does not wait for the network, so it may be called from an event loop. What can't be sent
        is told through `on_sent` too; nothing is raised. Messages with one key, or with an explicit
        partition, sent by one thread stay in order.
        """
        ...

    def receiver(self, address: Address, *, shared: bool) -> Receiver:
        """Open a receiver that is ready when this returns.

        `shared`: competing consumers of a whole topic, each message to one of them, and again to
        another if it was not acknowledged. Otherwise a private inbox: only what is sent from now
        on, nothing is acknowledged, and others may read the same partition: filter what is yours.
        Raises a `TransportError`. The caller closes it.
        """
        ...

    def close(self, timeout: float) -> None:
        """Close what is open and fail what is unsent, within `timeout` seconds; again: nothing."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close with a timeout of 5 seconds."""
        self.close(5.0)


class OpenTransport(Protocol):
    """What an entry point of the group `parley_rpc.transports` names: opens one URL scheme."""

    def __call__(self, url: str) -> Transport:
        """Return a transport for `url`; may wait until a later method to connect."""
        ...
