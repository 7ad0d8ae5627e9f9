"""The joint between calls and whatever moves their bytes.

A transport delivers messages to addresses, **at least once**, in order **per key only**. Everything
else - correlation, deadlines, retries, errors - is policy above it; everything about a broker is an
adapter below it. The suite in `transports.conformance` holds each sentence of these docstrings
against an implementation, ours or a third party's.
"""

from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self

from transports.delivery import Custody, Delivery, Unshared
from transports.message import Address, Headers, Message, OnSent, Receipt

__all__ = [
    "Address",
    "Custody",
    "Delivery",
    "GroupState",
    "Headers",
    "Message",
    "OnSent",
    "OpenTransport",
    "Purpose",
    "Receipt",
    "Receiver",
    "Send",
    "Transport",
    "Unshared",
]

Purpose = Literal["requests", "dead letters"]
"""What a topic is for, which decides how one that is missing is created."""


class Send(Protocol):
    """What `Transport.send` is, for those who send and need nothing else of a transport."""

    def __call__(
        self,
        address: Address,
        message: Message,
        on_sent: OnSent,
        /,
        *,
        avoid: Collection[int] = (),
        once: bool = False,
        packed: bool = False,
    ) -> None:
        """See `Transport.send`."""
        ...


class GroupState(NamedTuple):
    """How the consumers of a topic stand, as the broker saw it a moment ago."""

    members: int
    """How many shared receivers are in the group; one that crashed counts for a while."""
    committed: Mapping[int, int]
    """By partition, the offset below which everything is settled; none: nothing is yet."""


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

    @property
    def frames(self) -> bool:
        """Whether messages sent to its receivers had better be `packed`: they take them apart."""
        return False

    @property
    def worth_a_request(self) -> int:
        """How many messages had better go by themselves than wait for more of the same batch."""
        return 16

    def now(self) -> float | None:
        """Return what time it is at the broker, in seconds, on the clock of `Delivery.timestamp`.

        Learned from what the broker says of sent messages, and independent of this machine's wall
        clock. None as long as nothing was learned: send something.
        """
        ...

    def group(self, topic: str, timeout: float) -> GroupState:
        """Return how the shared receivers of `topic` stand, within `timeout` seconds.

        Blocks. Raises a `TransportError`: a right that is missing, no broker, no such topic.
        """
        ...

    def prepare(self, address: Address, timeout: float, *, purpose: Purpose = "requests") -> None:
        """Make `address` fit to be sent to, within `timeout` seconds, creating it where allowed.

        Blocks. Raises a `TransportError` that says what is missing and how to get it.
        """
        ...

    def send(
        self,
        address: Address,
        message: Message,
        on_sent: OnSent,
        /,
        *,
        avoid: Collection[int] = (),
        once: bool = False,
        packed: bool = False,
    ) -> None:
        """Hand `message` over; `on_sent` is called exactly once, perhaps before this returns.

        Does not wait for the network, so it may be called from an event loop. What can't be sent
        is told through `on_sent` too; nothing is raised. Messages with one key, or with an explicit
        partition, sent by one thread stay in order.

        Where the transport chooses among partitions, it takes none of `avoid` as long as there are
        others. `once`: the message is appended once at most; where an attempt may have been
        appended, there is no other, and `on_sent` gets `SendUncertain`. `packed`: it may share a
        record with others, since its receiver has `frames`; one that does not need not, and what
        arrives is the same.
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
