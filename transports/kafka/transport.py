"""The Kafka transport: its life, and what hangs on it.

Owners: the receivers that are open are listed under `_lock`; everything else belongs to the send
path and to the receivers.
"""

import threading
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from transports.base import (
    Address,
    GroupState,
    Message,
    OnSent,
    Purpose,
    Receiver,
    Transport,
)
from transports.errors import AddressUnknown, ConfigurationError, TransportClosed
from transports.forks import renew_in_child
from transports.kafka.config import KafkaConfig
from transports.kafka.drivers import driver
from transports.kafka.fit_topics import FitTopics, TopicPurpose
from transports.kafka.fork import AFTER_FORK
from transports.kafka.group_watch import GroupWatch
from transports.kafka.producer import SendPath

if TYPE_CHECKING:
    from transports.kafka.group import SharedReceiver
    from transports.kafka.inbox import Inbox

__all__ = ["KafkaTransport"]


class KafkaTransport(Transport):
    """Moves messages over Apache Kafka. See `Transport`; any thread may call any method.

    Constructing it does no I/O: the first use connects. It can't be used after a fork.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._closed: str | None = None
        self._receivers: list[Inbox | SharedReceiver] = []
        self._sends = SendPath(config)
        self._groups = GroupWatch(config)
        self._topics = FitTopics(config)
        renew_in_child(self)

    @property
    def client_id(self) -> str:
        """The name of the client application."""
        return self._config.client_id

    @property
    def frames(self) -> bool:
        """Whether messages are packed; see `Transport.frames`."""
        return self._config.frames

    @property
    def worth_a_request(self) -> int:
        """As the driver says; see `Transport.worth_a_request`."""
        return driver(self._config).WORTH_A_REQUEST

    @property
    def config(self) -> KafkaConfig:
        """What the transport was told."""
        return self._config

    def now(self) -> float | None:
        """Return what time it is at the broker; see `Transport.now`."""
        return self._sends.now()

    def group(self, topic: str, timeout: float) -> GroupState:
        """Return how the group of `topic` stands; see `Transport.group`."""
        self._check_open()
        return self._groups.look(topic, timeout)

    def prepare(self, address: Address, timeout: float, *, purpose: Purpose = "requests") -> None:
        """Make sure that the topic exists, creating it where allowed; see `Transport.prepare`.

        Whoever reads it takes messages in chunks, where `max_chunked_bytes` says so.
        """
        self._check_open()
        from transports.kafka.topics import most_bytes  # noqa: PLC0415 - imports kafka-python

        topic, partition = address
        kind: TopicPurpose = "dead letter" if purpose == "dead letters" else "request"
        partitions = self._topics.partitions(topic, kind, "WRITE", timeout)
        if purpose == "dead letters":
            self._sends.take(topic, most_bytes(self._config, kind))
        self._sends.allow_chunks(topic)
        if partition is not None and not 0 <= partition < partitions:
            raise AddressUnknown(f"topic {topic} has {partitions} partitions, and no {partition}")
        self._sends.forgive(topic)

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
        """Queue `message`; see `Transport.send`. Never waits for the network."""
        packed = packed and self._config.frames
        self._sends.send(address, message, on_sent, avoid=avoid, once=once, packed=packed)

    def receiver(self, address: Address, *, shared: bool) -> Receiver:
        """Open a receiver; see `Transport.receiver`.

        Shared: a member of the consumer group named after the topic. Otherwise an inbox on one
        partition, any unless the address names one.
        """
        self._check_open()
        receiver = self._open(address, shared=shared)
        with self._lock:
            self._receivers = [open_ for open_ in self._receivers if not open_.closed]
            self._receivers.append(receiver)
            closed = self._closed
        if closed is not None:
            receiver.close(0.0)
            raise TransportClosed(closed)
        return receiver

    def close(self, timeout: float) -> None:
        """Close receivers, send what is queued, fail the rest; see `Transport.close`."""
        deadline = time.monotonic() + timeout
        with self._lock:
            if self._closed is not None:
                return
            self._closed = "the transport is closed"
            receivers, self._receivers = self._receivers, []
        self._sends.refuse(self._closed)
        for receiver in receivers:
            receiver.close(max(0.0, deadline - time.monotonic()))
        self._sends.close(max(0.0, deadline - time.monotonic()))
        self._groups.close()

    def _open(self, address: Address, *, shared: bool) -> "Inbox | SharedReceiver":
        if not shared:
            from transports.kafka.inbox import Inbox  # noqa: PLC0415 - imports kafka-python

            return Inbox(self._config, self._topics, address)
        if address.partition is not None:
            raise ConfigurationError(
                f"a shared receiver takes the whole topic {address.topic}: the group shares out "
                "its partitions; leave the partition away"
            )
        from transports.kafka.group import SharedReceiver  # noqa: PLC0415 - imports kafka-python

        return SharedReceiver(self._config, self._topics, address.topic)

    def _check_open(self) -> None:
        if self._closed is not None:
            raise TransportClosed(self._closed)

    def after_fork(self) -> None:
        """Refuse everything, in a child: the threads and the connections are the parent's."""
        self._lock = threading.Lock()
        self._closed = AFTER_FORK
        self._sends.refuse(AFTER_FORK)
