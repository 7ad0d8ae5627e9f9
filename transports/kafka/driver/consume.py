# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""Consumers made of kafka-python's parts, with the cured ones in their places.

Owner of a consumer: the thread that polls it. What may be called from others says so: it touches
only what kafka-python locks, or what runs on its loop.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import KafkaConsumer
from kafka.consumer.subscription_state import SubscriptionState
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import (
    AuthorizationError,
    KafkaError,
    KafkaTimeoutError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from kafka.structs import TopicPartition
from kafka.util import ensure_valid_topic_name

from transports.errors import TransportError
from transports.kafka.clients import Polled
from transports.kafka.driver.client import Client
from transports.kafka.driver.coordinate import SteadyCoordinator
from transports.kafka.driver.fetch import TolerantFetcher
from transports.kafka.errors import group_failure, topic_failure
from transports.log import get_logger

__all__ = ["Consumer", "Reader"]

_log = get_logger(__name__)
COMMIT_MS = 1000
"""How long one attempt to commit may take where others wait for it."""
_CLOSE_GRACE = 0.3
"""What closing may take beyond its timeout: answers are in, threads end."""


class Consumer(KafkaConsumer):  # type: ignore[misc]  # kafka-python is untyped
    """A consumer of one topic over a client that is connected already."""

    def __init__(self, client: Client, settings: Mapping[str, Any], topic: str) -> None:
        self.config = {**KafkaConsumer.DEFAULT_CONFIG, **settings}
        self.config["api_version"] = client._manager.broker_version
        self.topic = topic
        self._metrics = None
        self._client = client
        self._manager = client._manager
        self._cluster = client.cluster
        self._net = client._net
        self._subscription = SubscriptionState(self.config["auto_offset_reset"])
        self._fetcher = TolerantFetcher(client, self._subscription, **self.config)
        self._coordinator = SteadyCoordinator(
            client, self._subscription, assignors=[RangePartitionAssignor], **self.config
        )
        self._closed = False
        self._iterator = None
        self._consumer_timeout = float("inf")
        self._commit_ms = float(COMMIT_MS)

    @property
    def trouble(self) -> BaseException | None:
        """Why brokers can't be reached at the moment, where that is known."""
        return self._client.trouble

    def find_topic(self, timeout: float) -> Sequence[int]:
        """Return the topic's partitions, asking until they are known.

        Metadata must be there before a subscription: stock may lose the join otherwise. Raises
        `TopicAuthorizationFailedError` or `UnknownTopicOrPartitionError`.
        """
        ensure_valid_topic_name(self.topic)
        deadline = time.monotonic() + timeout
        self._cluster.set_topics([self.topic])
        while not self.partitions():
            left = deadline - time.monotonic()
            if self.topic in self._cluster.unauthorized_topics:
                raise TopicAuthorizationFailedError(self.topic)
            if left <= 0:
                raise self.trouble or UnknownTopicOrPartitionError(self.topic)
            try:
                update = self._cluster.request_update()
                self._net.run(self._manager.wait_for, update, left * 1000)
            except KafkaError:
                continue
        return self.partitions()

    def partitions(self) -> Sequence[int]:
        """Return the partitions known at present; empty when the topic is gone."""
        return sorted(self._cluster.partitions_for_topic(self.topic) or ())

    def next_records(self, timeout: float) -> Polled:
        """Return what the next fetch brings, waiting at most `timeout` seconds.

        Raises what kafka-python raises, `UnreadableBatch`, and `NotAuthorized`, also for a right
        withdrawn, where stock is silent.
        """
        try:
            polled: Any = self.poll(timeout * 1000)
            found = [(tp.partition, records) for tp, records in polled.items()]
            if not found and self.topic in self._cluster.unauthorized_topics:
                raise TopicAuthorizationFailedError(self.topic)
        except AuthorizationError as error:
            raise self._failure(error) from error
        return found

    def _failure(self, error: BaseException) -> TransportError:
        """Tell why the topic can't be read."""
        group: str | None = self.config["group_id"]
        if group is None:
            return topic_failure(error, self.topic, "reading", "Read")
        return group_failure(error, self.topic, group)

    def step_over(self, partition: int, offset: int) -> None:
        """Go on reading at `offset`. On the polling thread, between polls."""
        tp = TopicPartition(self.topic, partition)
        if self._subscription.is_assigned(tp):
            self.seek(tp, offset)

    def shut(self, timeout: float) -> None:
        """Close within `timeout` seconds or a little more; a poll under way ends. Never raises.

        On a thread of its own, since what stock waits for in closing may never come.
        """
        name = f"rpc-kafka-close-{self.config['client_id']}-{self.topic}"
        closer = threading.Thread(target=self._shut, args=(timeout,), name=name, daemon=True)
        closer.start()
        closer.join(timeout + _CLOSE_GRACE)
        if closer.is_alive():
            _log.warning("kafka.close_hangs", topic=self.topic)

    def _shut(self, timeout: float) -> None:
        half = timeout * 500
        self._commit_ms = min(COMMIT_MS, half)
        try:
            self.close(autocommit=False, timeout_ms=half)
        except (KafkaError, RuntimeError, OSError, ReferenceError) as error:
            _log.debug("kafka.close_failed", topic=self.topic, why=str(error))
        finally:
            self._client.shut()
            self._fetcher.abandon()


class Reader(Consumer):
    """Reads one partition, without a group, from its end."""

    def open(self, partition: int, timeout: float) -> int:
        """Start at the end of `partition`; what is appended after this returns will be read.

        Returns the position. Raises a `TransportError`, and is closed then.
        """
        try:
            return self._open(partition, timeout)
        except (KafkaError, ValueError) as error:
            self.shut(0.0)
            raise self._failure(error) from error

    def _open(self, partition: int, timeout: float) -> int:
        if partition not in self.find_topic(timeout):
            raise UnknownTopicOrPartitionError(f"{self.topic}/{partition}")
        tp = TopicPartition(self.topic, partition)
        self.assign([tp])
        self.seek_to_end(tp)
        position: int | None = self.position(tp, timeout_ms=timeout * 1000)
        if position is None:
            raise self.trouble or KafkaTimeoutError(f"no position in {self.topic}/{partition}")
        return position
