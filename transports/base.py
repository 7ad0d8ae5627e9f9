"""The joint between calls and whatever moves their bytes.

A transport delivers messages to addresses, **at least once**, in order **per key only**. Everything
else - correlation, deadlines, retries, errors - is policy above it; everything about a broker is an
adapter below it. The suite in `transports.conformance` holds each sentence of these docstrings
against an implementation, ours or a third party's.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import TracebackType
from typing import Literal, NamedTuple, Protocol, Self

from transports.errors import TransportError

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
    ) -> None:
        """See `Transport.send`."""
        ...


class GroupState(NamedTuple):
    """How the consumers of a topic stand, as the broker saw it a moment ago."""

    members: int
    """How many shared receivers are in the group; one that crashed counts for a while."""
    committed: Mapping[int, int]
    """By partition, the offset below which everything is settled; none: nothing is yet."""


class Custody(Protocol):
    """The receiver's side of a delivery: who answers for it until it is settled. Any thread."""

    def ack(self, delivery: "Delivery", /) -> bool:
        """Do what `Delivery.ack` says; tell whether the message was ours and unsettled."""
        ...

    def begin(self, delivery: "Delivery", /) -> None:
        """See `Delivery.begin`."""

    def commit(self, delivery: "Delivery", then: Callable[[bool], object], /) -> None:
        """See `Delivery.commit`."""

    def owned(self, delivery: "Delivery", /) -> bool:
        """See `Delivery.owned`."""
        ...


class Delivery:
    """One received message, owned by the receiver until `ack` is called."""

    __slots__ = (
        "_custody",
        "acked",
        "crashes",
        "message",
        "problem",
        "receipt",
        "redelivered",
        "timestamp",
    )

    def __init__(
        self,
        message: Message,
        receipt: Receipt,
        timestamp: float,
        custody: Custody,
        *,
        problem: str | None = None,
        redelivered: bool = False,
        crashes: int = 0,
    ) -> None:
        self.message = message
        self.receipt = receipt
        self.timestamp = timestamp
        """When it was appended, in seconds, on the clock that `Transport.now` tells."""
        self.problem = problem
        """Why the message could not be read (its headers and body are then empty), else None."""
        self.redelivered = redelivered
        """Whether it may have been handed to another receiver before; False is certain."""
        self.crashes = crashes
        """How many receivers ended without a word while they may have been at this message."""
        self.acked = False
        """Whether an `ack` took effect: the message was still ours."""
        self._custody = custody

    def ack(self) -> None:
        """Settle the message: it is not delivered again.

        Any thread, any order; a second call does nothing. On a private inbox it does nothing. It
        is made durable a moment later: after a crash before that, the message comes again.
        """
        if self._custody.ack(self):
            self.acked = True

    def begin(self) -> None:
        """Say that work on it begins, so that a crash from here on counts in `crashes`.

        Only for a message with `crashes`; made durable by `commit`. On others it does nothing.
        """
        self._custody.begin(self)

    def commit(self, then: Callable[[bool], object]) -> None:
        """Call `then(True)` once what was said of the message, `ack` or `begin`, is durable.

        `then(False)` where that can't be any more, since the message is no longer ours: others may
        get it. Called once, on any thread, perhaps before this returns: it may not block.
        """
        self._custody.commit(self, then)

    @property
    def owned(self) -> bool:
        """Whether the message is certainly still ours alone: nobody else can have it meanwhile."""
        return self._custody.owned(self)


class Unshared:
    """The custody of a private inbox: nothing is acknowledged, and nobody else gets anything."""

    def ack(self, delivery: Delivery, /) -> bool:
        """Do nothing."""
        del delivery
        return False

    def begin(self, delivery: Delivery, /) -> None:
        """Do nothing."""

    def commit(self, delivery: Delivery, then: Callable[[bool], object], /) -> None:
        """Tell at once that nothing is missing."""
        del delivery
        then(True)  # noqa: FBT003 - what `commit` tells

    def owned(self, delivery: Delivery, /) -> bool:
        """Tell that it is ours."""
        del delivery
        return True


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
    ) -> None:
        """Hand `message` over; `on_sent` is called exactly once, perhaps before this returns.

        Does not wait for the network, so it may be called from an event loop. What can't be sent
        is told through `on_sent` too; nothing is raised. Messages with one key, or with an explicit
        partition, sent by one thread stay in order.

        Where the transport chooses among partitions, it takes none of `avoid` as long as there are
        others. `once`: the message is appended once at most; where an attempt may have been
        appended, there is no other, and `on_sent` gets `SendUncertain`.
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
