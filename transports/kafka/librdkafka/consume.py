"""Consumers on librdkafka: what all have, and the one that reads a partition without a group.

librdkafka fetches on threads of its own and queues; polling takes from the queue. Nothing wakes a
poll, so that it waits in slices.

Owners: a handle may not be closed while it is used. So `_polling` is held around each slice, and
while closing; and `_using` around what other threads ask, which never waits, and not while closing:
that calls back whom others wait for.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import OFFSET_END, KafkaError, KafkaException, TopicPartition

from transports.base import Address
from transports.errors import AddressUnknown
from transports.kafka.clients import Polled, UnreadableBatch
from transports.kafka.config import KafkaConfig
from transports.kafka.librdkafka.errors import cause, connecting, error_of, reading
from transports.kafka.librdkafka.handle import Shared, Trouble, new_consumer
from transports.kafka.librdkafka.messages import record_of
from transports.kafka.records import Record
from transports.log import get_logger

__all__ = ["Consumer", "Reader"]

_log = get_logger(__name__)
_SLICE = 0.1
_AT_ONCE = 1000
_LOOK_EVERY = 1.0
_LOOK = 0.5
"""How long it may take to see whether a topic is still there, between polls."""
_LEAST = 0.05
_CLOSE_GRACE = 0.3
_NO_RIGHT = frozenset(
    {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}
)
_LATE = KafkaError(KafkaError._TIMED_OUT, "no broker answers")  # noqa: SLF001 - public
_UNREADABLE = frozenset(
    {
        KafkaError._BAD_MSG,  # noqa: SLF001 - public, by their documentation
        KafkaError._BAD_COMPRESSION,  # noqa: SLF001 - likewise
    }
)


class Consumer:
    """Reads a topic. Its owner is the thread that polls."""

    def __init__(
        self,
        config: KafkaConfig,
        topic: str,
        settings: dict[str, object],
        group: str | None = None,
    ) -> None:
        self.topic = topic
        self._config = config
        self._group = group
        self._trouble = Trouble()
        self._closed = False
        self._shared = Shared()
        self._polling = threading.Lock()
        self._using = threading.Lock()
        self._known: tuple[int, ...] = ()
        self._look_at = 0.0
        self._tried: dict[int, int] = {}
        self._failed: Exception | None = None
        self._handle = new_consumer(
            config,
            self._trouble,
            {
                # librdkafka wants one also where none is joined
                "group.id": group or f"{config.client_id}-inbox",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "check.crcs": True,
                "fetch.min.bytes": 1,
                "fetch.max.bytes": max(8_388_608, config.max_message_bytes),
                "max.partition.fetch.bytes": max(1_048_576, config.max_message_bytes),
                "receive.message.max.bytes": 100_000_000,
                "queued.max.messages.kbytes": 16_384,
                "queued.min.messages": 10_000,
                **settings,
            },
        )

    def find_topic(
        self, timeout: float, cancelled: Callable[[], bool] = lambda: False
    ) -> Sequence[int]:
        """Return the topic's partitions, asking until they are known. Raises a `TransportError`."""
        deadline = time.monotonic() + timeout
        while True:
            error = self._look(min(_LOOK, max(_LEAST, deadline - time.monotonic())))
            if self._known:
                return self._known
            if error is not None and error.code() in _NO_RIGHT:
                raise reading(error, self.topic, self._group)
            if time.monotonic() >= deadline or cancelled():
                if error is not None and error.code() > 0:
                    raise reading(error, self.topic, self._group)
                raise connecting(
                    cause(self._trouble.error or error or _LATE), self._config.bootstrap
                )
            time.sleep(_LEAST)

    def partitions(self) -> Sequence[int]:
        """Return the partitions of the topic; empty when it is gone. Between polls.

        Brokers are asked every second: librdkafka does not always say that a topic is gone.
        """
        now = time.monotonic()
        if now >= self._look_at or not self._known:
            self._look_at = now + _LOOK_EVERY
            gone = not self._known
            self._look(_LOOK)
            if gone and self._known:
                self._came_back()
        return self._known

    def next_records(self, timeout: float) -> Polled:
        """Return what has been fetched, waiting at most `timeout` seconds; see `clients.Reader`."""
        deadline = time.monotonic() + timeout
        while True:
            with self._polling:
                if self._closed:
                    return []
                if self._failed is not None:
                    return self._records([])
                left = deadline - time.monotonic()
                with self._shared.use():
                    found = self._taken(max(0.0, min(left, _SLICE)))
            if found or left <= _SLICE:
                return self._records(found)

    def _came_back(self) -> None:
        """Read a topic that was made anew; librdkafka does so by itself in a group."""

    def step_over(self, partition: int, offset: int) -> None:
        """Go on reading at `offset`. On the polling thread, between polls."""
        self._tried[partition] = offset
        self._seek(partition, offset)

    def shut(self, timeout: float) -> None:
        """Close within `timeout` seconds or a little more; a poll under way ends. Never raises.

        On a thread of its own, since what closing waits for may never come.
        """
        name = f"rpc-kafka-close-{self._config.client_id}-{self.topic}"
        closer = threading.Thread(target=self._shut, args=(timeout,), name=name, daemon=True)
        closer.start()
        closer.join(timeout + _CLOSE_GRACE)
        if closer.is_alive():
            _log.warning("kafka.close_hangs", topic=self.topic)

    def _shut(self, timeout: float) -> None:
        with self._using:
            self._closed = True
        self._end(timeout)
        with self._polling, self._shared.use():
            try:
                self._handle.close()
            except (KafkaException, RuntimeError) as error:
                _log.debug("kafka.close_failed", topic=self.topic, why=str(error))

    def _end(self, timeout: float) -> None:
        """End what else uses the handle; a reader has nothing."""

    def _taken(self, timeout: float) -> list[Any]:
        """Return the messages that are there, waiting for the first. While polling."""
        found: list[Any] = self._handle.consume(1, timeout)
        if found:
            found += self._handle.consume(_AT_ONCE, 0.0)
        return found

    def _records(self, messages: list[Any]) -> Polled:
        """Return what was taken, by partition; what is an error among it is raised afterwards."""
        found: dict[int, list[Record]] = {}
        behind: set[int] = set()  # partitions that are read again, from an error on
        for message in messages:
            error, partition = message.error(), message.partition()
            if partition in behind:
                continue
            if error is None:
                found.setdefault(partition, []).append(record_of(message))
                continue
            failed = self._failure(error, message)
            if isinstance(failed, UnreadableBatch):
                behind.add(partition)
            self._failed = self._failed or failed
        if not found and self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
        return list(found.items())

    def _failure(self, error: KafkaError, message: Any) -> Exception | None:
        """Return what to raise for an error; None for what passes."""
        code = error.code()
        if code in _NO_RIGHT:
            if self._group is None and code == KafkaError.GROUP_AUTHORIZATION_FAILED:
                return None  # an inbox joins no group
            return reading(error, self.topic, self._group)
        if code in _UNREADABLE:
            return self._unreadable(error, message)
        self._look_at = 0.0
        _log.info("kafka.read_trouble", topic=self.topic, why=error.str())
        return None

    def _unreadable(self, error: KafkaError, message: Any) -> UnreadableBatch:
        """Go back to where a batch could not be read; its end is not told."""
        partition = message.partition()
        offset = max(message.offset() or 0, self._tried.get(partition, 0))
        self._seek(partition, offset)
        return UnreadableBatch(self.topic, partition, offset, offset + 1, error.str())

    def _seek(self, partition: int, offset: int) -> None:
        with self._using, self._shared.use():
            if not self._closed:
                try:
                    self._handle.seek(TopicPartition(self.topic, partition, offset))
                except KafkaException as error:
                    _log.debug("kafka.seek_failed", topic=self.topic, why=str(error))

    def _look(self, timeout: float) -> KafkaError | None:
        """Ask for the topic's partitions; return what was said instead."""
        with self._polling:
            if self._closed:
                return None
            try:
                found = self._handle.list_topics(self.topic, timeout=timeout).topics[self.topic]
            except KafkaException as failure:
                return error_of(failure)
        self._trouble.over()
        error: KafkaError | None = found.error
        if error is None and found.partitions:
            self._known = tuple(sorted(found.partitions))
        elif error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            self._known = ()
        return error


class Reader(Consumer):
    """Reads one partition, without a group, from its end."""

    def __init__(self, config: KafkaConfig, place: Address) -> None:
        topic, partition = place
        super().__init__(config, topic, {"auto.offset.reset": "latest", "fetch.wait.max.ms": 500})
        self._partition = partition or 0

    def open(self, timeout: float) -> None:
        """Start at the end; what is appended after this returns will be read.

        Raises a `TransportError`.
        """
        deadline = time.monotonic() + timeout
        if self._partition not in self.find_topic(timeout):
            raise AddressUnknown(f"topic {self.topic} has no partition {self._partition}")
        end = self._find_end(deadline)
        self._handle.assign([TopicPartition(self.topic, self._partition, end)])

    def _came_back(self) -> None:
        with self._using:
            if not self._closed:
                self._handle.assign([TopicPartition(self.topic, self._partition, 0)])

    def _find_end(self, deadline: float) -> int:
        asked = [TopicPartition(self.topic, self._partition, OFFSET_END)]
        while True:
            left = max(_LEAST, deadline - time.monotonic())
            try:
                (found,) = self._handle.offsets_for_times(asked, timeout=left)
                if found.error is None:
                    return int(found.offset)
                error = found.error
            except KafkaException as failure:
                error = error_of(failure)
            if error.code() in _NO_RIGHT or time.monotonic() >= deadline:
                raise reading(error, self.topic, None)
            time.sleep(_LEAST)  # such as a leader that is not elected yet
