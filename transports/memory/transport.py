"""The memory transport: one client of an in-process broker.

Owner: `_receivers` and `_closed` are touched under `_lock`; topics belong to the broker.
"""

from collections.abc import Callable, Collection
from threading import Lock
from urllib.parse import parse_qsl, urlsplit

from transports.base import (
    Address,
    GroupState,
    Message,
    OnSent,
    Purpose,
    Receipt,
    Receiver,
    Transport,
)
from transports.errors import (
    ConfigurationError,
    MessageTooLarge,
    TransportClosed,
    TransportError,
)
from transports.memory.broker import acquire_broker, release_broker
from transports.memory.log import size_of
from transports.memory.receivers import InboxReceiver, SharedReceiver
from transports.outcome import tell

__all__ = ["MemoryTransport", "open_transport"]

_PARTITIONS = 12
_MAX_UNACKED = 1000
_MAX_MESSAGE_BYTES = 1_048_576  # what a Kafka broker takes unless told otherwise
_DEFAULTS = {
    "partitions": _PARTITIONS,
    "max_unacked": _MAX_UNACKED,
    "max_message_bytes": _MAX_MESSAGE_BYTES,
}


class MemoryTransport(Transport):
    """A broker inside this process, with the guarantees of `transports.base` and its refusals too.

    Transports of one `name` share topics and messages; the last one to close drops them. Nothing
    runs in the background: a send has arrived when `send` returns, `on_sent` runs before that, in
    the caller's thread, and `receive(0)` never waits, so that a test can step through a call.

    Keyed messages go by a stable hash of the key, others to each partition in turn. A partition is
    owned by one member of the group at a time; when a member joins, a partition changes hands once
    its old owner has acknowledged what it holds of it.

    Bounded: a shared receiver holds up to `max_unacked` messages; a partition in which 100 000
    messages or 64 MiB wait for a reader refuses more with `MessageRefused`; what is acknowledged is
    forgotten at once.
    """

    def __init__(
        self,
        name: str = "",
        *,
        client_id: str = "app",
        partitions: int = _PARTITIONS,
        max_unacked: int = _MAX_UNACKED,
        max_message_bytes: int = _MAX_MESSAGE_BYTES,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Join the broker of that name, or start it.

        `partitions` is for topics created by this transport; one that is there stays as it is.
        `clock` gives the seconds of `Delivery.timestamp` and `now` (`time.monotonic` unless given);
        waiting goes by the real clock. Raises `ConfigurationError` for a number below one, and for
        a clock other than the one that the broker of that name runs on.
        """
        _check_positive(
            partitions=partitions, max_unacked=max_unacked, max_message_bytes=max_message_bytes
        )
        self._name = name
        self._client_id = client_id
        self._partitions = partitions
        self._max_unacked = max_unacked
        self._max_message_bytes = max_message_bytes
        self._lock = Lock()
        self._receivers: list[Receiver] = []
        self._closed = False
        self._broker = acquire_broker(name, clock)

    @property
    def client_id(self) -> str:
        """The name of the client application."""
        return self._client_id

    def now(self) -> float:
        """Return the broker's clock."""
        return self._broker.clock()

    def group(self, topic: str, timeout: float) -> GroupState:
        """Return how the shared receivers of `topic` stand, at once, whatever the timeout.

        Raises `TransportClosed`, and `AddressUnknown` for a topic that is not there.
        """
        del timeout  # nothing here waits for anybody
        with self._lock:
            self._check_open()
        return self._broker.group(topic)

    def prepare(self, address: Address, timeout: float, *, purpose: Purpose = "requests") -> None:
        """Create the topic unless it is there; at once, whatever the timeout.

        Raises `TransportClosed`, `ConfigurationError` for a name that no broker accepts, and
        `AddressUnknown` for a partition that is not there.
        """
        del timeout, purpose  # nothing here waits for anybody, and all topics are alike
        with self._lock:
            self._check_open()
        self._broker.prepare(address, self._partitions)

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
        """Append `message` now, and tell `on_sent` before returning, in this thread.

        A topic is not created by sending to it: that is `AddressUnknown`, as on a broker.
        """
        del once, packed  # there is never a second attempt, and each has a record of its own
        outcome: Receipt | TransportError
        try:
            outcome = self._append(address, message, avoid)
        except TransportError as error:
            outcome = error
        tell(on_sent, outcome)

    def _append(self, address: Address, message: Message, avoid: Collection[int]) -> Receipt:
        size = size_of(message)
        if size > self._max_message_bytes:
            raise MessageTooLarge(
                f"a message of {size} bytes for topic {address.topic!r} exceeds "
                f"max_message_bytes = {self._max_message_bytes}; send less, or raise it"
            )
        # Under the lock, so that nothing is appended once `close` has returned.
        with self._lock:
            self._check_open()
            return self._broker.append(address, message, avoid)

    def receiver(self, address: Address, *, shared: bool) -> Receiver:
        """Open a receiver, creating the topic unless it is there.

        Raises `TransportClosed`, `ConfigurationError` for a topic name that no broker accepts or
        for a shared receiver of a single partition, and `AddressUnknown` for a partition that is
        not there.
        """
        if shared and address.partition is not None:
            raise ConfigurationError(
                f"a shared receiver reads whole topics, not partition {address.partition} of "
                f"{address.topic!r}; leave the partition out, or open a private inbox"
            )
        with self._lock:
            self._check_open()
            receiver = self._enrol(address, shared=shared)
            self._receivers.append(receiver)
            return receiver

    def _enrol(self, address: Address, *, shared: bool) -> Receiver:
        with self._broker.lock:
            topic = self._broker.locked_topic(address.topic, self._partitions)
            topic.check_partition(address.partition)
            if shared:
                return SharedReceiver(
                    self._broker, topic, self._forget, max_unacked=self._max_unacked
                )
            return InboxReceiver(self._broker, topic, self._forget, partition=address.partition)

    def _forget(self, receiver: Receiver) -> None:
        with self._lock:
            if receiver in self._receivers:
                self._receivers.remove(receiver)

    def _check_open(self) -> None:
        if self._closed:
            raise TransportClosed(f"memory://{self._name} is closed; open a new transport")

    def close(self, timeout: float) -> None:
        """Close the receivers and leave the broker, whatever the timeout; again: nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            receivers, self._receivers = self._receivers, []
        for receiver in receivers:
            receiver.close(timeout)
        release_broker(self._name)


def _check_positive(**settings: int) -> None:
    for name, value in settings.items():
        if value < 1:
            raise ConfigurationError(f"{name} = {value}: at least 1 is needed")


def open_transport(url: str) -> MemoryTransport:
    """Open `memory://name?client_id=app&partitions=12`; `memory://` is the broker named "".

    Takes `max_unacked` and `max_message_bytes` too, as `MemoryTransport` does. Raises
    `ConfigurationError` for anything else.
    """
    parts = urlsplit(url)
    if parts.path not in {"", "/"} or parts.fragment:
        raise ConfigurationError(f"{url!r}: write memory://name?setting=value, with no path")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := options.keys() - {"client_id", *_DEFAULTS}:
        known = ", ".join(("client_id", *_DEFAULTS))
        names = ", ".join(sorted(unknown))
        raise ConfigurationError(f"{url!r}: unknown setting {names}; known: {known}")
    return MemoryTransport(
        parts.netloc,
        client_id=options.get("client_id", "app"),
        partitions=_number(options, "partitions"),
        max_unacked=_number(options, "max_unacked"),
        max_message_bytes=_number(options, "max_message_bytes"),
    )


def _number(options: dict[str, str], name: str) -> int:
    text = options.get(name, str(_DEFAULTS[name]))
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"{name} = {text!r} is not a whole number") from None
