"""A private inbox: one partition, read from its end on, without a group.

Owner: the thread that calls `receive`; it polls by itself, so that no hand-over between threads
stands between a reply and whoever waits for it.
"""

import os
import random
import threading
import time
from collections.abc import Sequence

from transports.base import Address, Delivery, Receipt, Unshared
from transports.errors import AddressUnknown, NotAuthorized
from transports.kafka.backlog import TOGETHER, Backlog
from transports.kafka.chunks import is_chunk
from transports.kafka.clients import Reader, UnreadableBatch
from transports.kafka.config import KafkaConfig
from transports.kafka.drivers import driver
from transports.kafka.fit_topics import FitTopics
from transports.kafka.fork import check_not_forked
from transports.kafka.unreadable import Strikes
from transports.log import get_logger

__all__ = ["Inbox"]

_log = get_logger(__name__)
_UNSHARED = Unshared()
_PAUSE = 0.05
_SLICE = 0.5
"""How long one poll waits: between polls it is seen whether the topic is still there."""


class Inbox:
    """Receives what is sent to one partition from now on. See `Receiver`."""

    def __init__(self, config: KafkaConfig, topics: FitTopics, address: Address) -> None:
        topic, partition = address
        partitions = topics.partitions(topic, "reply", "READ", config.connect_timeout)
        if partition is None:
            partition = random.randrange(partitions)  # noqa: S311 - any will do
        if not 0 <= partition < partitions:
            raise AddressUnknown(f"topic {topic} has {partitions} partitions, and no {partition}")
        self._pid = os.getpid()
        self._config = config
        self._address = Address(topic, partition)
        self._closed = threading.Event()
        self._strikes = Strikes()
        self._arrived: Backlog[int] = Backlog.of(config)
        self._gone_since: float | None = None
        self._reader: Reader = driver(config).open_reader(config, self._address)

    @property
    def address(self) -> Address:
        """The topic and the partition to send to."""
        return self._address

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._closed.is_set()

    def receive(self, max_wait: float) -> Sequence[Delivery]:
        """Return what has arrived; see `Receiver.receive`."""
        check_not_forked(self._pid)
        deadline = time.monotonic() + max_wait
        late = False
        while not self._closed.is_set():
            if deliveries := self._hand_out():
                return deliveries
            if late:
                break
            left = max(0.0, deadline - time.monotonic())
            self._poll(min(left, _SLICE))
            late = time.monotonic() >= deadline
        return ()

    def close(self, timeout: float) -> None:
        """Stop within `timeout` seconds; see `Receiver.close`."""
        if not self._closed.is_set():
            self._closed.set()
            self._reader.shut(timeout)

    def _hand_out(self) -> Sequence[Delivery]:
        topic, partition = self._address
        chunks = self._arrived.chunks
        deliveries: list[Delivery] = []
        while self._arrived and not deliveries:
            for source, taken in self._arrived.take(TOGETHER):
                whole = chunks or is_chunk(taken)
                for record in chunks.messages(source, taken) if whole else (taken,):
                    receipt = Receipt(topic, partition or 0, record.offset, record.part)
                    at, problem = record.timestamp / 1000, record.problem
                    deliveries.append(
                        Delivery(record.message, receipt, at, _UNSHARED, problem=problem)
                    )
        return deliveries

    def _poll(self, timeout: float) -> None:
        try:
            polled = self._reader.next_records(timeout)
        except UnreadableBatch as unreadable:
            self._stumble(unreadable)
            return
        except NotAuthorized:
            raise
        except Exception as error:
            # A close from another thread pulls all kinds of things away from under a poll.
            if not self._closed.wait(_PAUSE):
                _log.warning("kafka.read_failed", topic=self._address.topic, why=repr(error))
            return
        if not polled:
            self._check_topic()
        for partition, records in polled:
            self._arrived.add(partition, records)

    def _stumble(self, unreadable: UnreadableBatch) -> None:
        """Try again, and in the end step over what can't be read."""
        if self._strikes.out(unreadable.partition, unreadable.offset):
            _log.error("kafka.batch_skipped", why=str(unreadable), to=unreadable.following)
            self._reader.step_over(unreadable.partition, unreadable.following)
        else:
            self._closed.wait(_PAUSE)

    def _check_topic(self) -> None:
        """Raise `AddressUnknown` as long as our partition has been gone for a while."""
        topic, partition = self._address
        known = self._reader.partitions()
        if (partition or 0) in known:
            self._gone_since = None
            return
        now = time.monotonic()
        self._gone_since = self._gone_since or now
        if now - self._gone_since >= self._config.address_timeout:
            if known:
                raise AddressUnknown(
                    f"topic {topic} has no partition {partition} any more, which is this inbox; "
                    "open another channel"
                )
            raise AddressUnknown(f"topic {topic}, this inbox, was deleted; create it")
