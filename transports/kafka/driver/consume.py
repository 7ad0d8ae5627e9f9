# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""Consumers made of kafka-python's parts, with the cured ones in their places.

Owner of a consumer: the thread that polls it. What may be called from others says so: it touches
only what kafka-python locks, or what runs on its I/O thread.
"""

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from kafka import KafkaConsumer
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener, SubscriptionState
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from kafka.future import Future
from kafka.net.wakeup_notifier import WakeupNotifier
from kafka.structs import OffsetAndMetadata, TopicPartition
from kafka.util import ensure_valid_topic_name

from transports.kafka.driver.client import Client
from transports.kafka.driver.coordinate import SteadyCoordinator
from transports.kafka.driver.fetch import TolerantFetcher
from transports.kafka.records import Record
from transports.log import get_logger

__all__ = ["Consumer", "Member", "MemberEvents", "Reader"]

_log = get_logger(__name__)
_COMMIT_MS = 1000
_FETCH_MS = 5000
_CLOSE_GRACE = 0.3
"""What closing may take beyond its timeout: answers are in, threads end."""

Polled = list[tuple[int, list[Record]]]
"""What one poll brought: records by partition."""


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
        self._commit_ms = float(_COMMIT_MS)

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

        Raises what kafka-python raises, `UnreadableBatch`, and `TopicAuthorizationFailedError`
        for a right withdrawn, where stock is silent.
        """
        polled: Any = self.poll(timeout * 1000)
        found: Polled = [(tp.partition, records) for tp, records in polled.items()]
        if not found and self.topic in self._cluster.unauthorized_topics:
            raise TopicAuthorizationFailedError(self.topic)
        return found

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
        self._commit_ms = min(_COMMIT_MS, half)
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

        Returns the position. Raises `UnknownTopicOrPartitionError` or `KafkaTimeoutError`.
        """
        if partition not in self.find_topic(timeout):
            raise UnknownTopicOrPartitionError(f"{self.topic}/{partition}")
        tp = TopicPartition(self.topic, partition)
        self.assign([tp])
        self.seek_to_end(tp)
        position: int | None = self.position(tp, timeout_ms=timeout * 1000)
        if position is None:
            raise self.trouble or KafkaTimeoutError(f"no position in {self.topic}/{partition}")
        return position


class MemberEvents(Protocol):
    """What a group member tells its owner, on kafka-python's I/O thread: nothing may block."""

    def assigned(self, starts: Mapping[int, int | None], topic_id: object) -> None:
        """These partitions are ours now, from these committed offsets (None: never committed).

        A topic that was deleted and made anew has another `topic_id`.
        """

    def revoking(self, partitions: frozenset[int]) -> None:
        """These partitions will be given up when `drained` says so, or in a while."""

    def drained(self) -> bool:
        """Whether nothing of the partitions that are being given up is in flight."""
        ...

    def committable(self) -> Mapping[int, int]:
        """The offsets to commit before the partitions are given up."""
        ...

    def gave_up(self) -> None:
        """No partition is ours."""


class Member(Consumer):
    """Reads a topic as a member of a group."""

    def __init__(
        self,
        client: Client,
        settings: Mapping[str, Any],
        topic: str,
        events: MemberEvents,
        revoke_timeout: float,
    ) -> None:
        super().__init__(client, settings, topic)
        self._events = events
        self._settled = WakeupNotifier(self._net)
        self._revoke_timeout = revoke_timeout

    def join(self, timeout: float) -> None:
        """Subscribe; the polls that follow join the group. Raises as `find_topic`.

        What is known of the topic is shown to the coordinator, which stock overlooks: it would join
        a second time when it hears the same again.
        """
        self.find_topic(timeout)
        self.subscribe([self.topic], listener=_Listener(self))
        self._coordinator._handle_metadata_update(self._cluster)

    def settled(self) -> None:
        """Look again whether what is in flight is done. Any thread; when closed, nothing."""
        if not self._closed:
            with contextlib.suppress(RuntimeError):
                self._settled.notify()

    def begin_commit(self) -> Future:
        """Begin to commit what is `committable`; the future gives it, on the I/O thread.

        Any thread. It is asked for where assignments change too, so that nothing is committed of a
        partition that has gone to another.
        """
        return self._manager.call_soon(self._commit)

    def pause_all(self) -> None:
        """Fetch nothing more from what is assigned. Any thread."""
        for tp in self.assignment():
            if self._subscription.is_assigned(tp):
                self.pause(tp)

    def resume_all(self) -> None:
        """Fetch again from what is paused. Any thread."""
        for tp in self.paused():
            if self._subscription.is_assigned(tp):
                self.resume(tp)

    async def _give_up(self, partitions: frozenset[int]) -> None:
        self._events.revoking(partitions)
        deadline = time.monotonic() + self._revoke_timeout
        while not self._events.drained() and (left := deadline - time.monotonic()) > 0:
            await self._settled(left)
        try:
            await self._manager.wait_for(self.begin_commit(), self._commit_ms)
        except KafkaError as error:
            _log.warning("kafka.commit_failed", topic=self.topic, why=str(error))
        finally:
            self._events.gave_up()

    async def _commit(self) -> Mapping[int, int]:
        offsets = self._events.committable()
        if offsets:
            await self._coordinator._send_offset_commit_request(
                {
                    TopicPartition(self.topic, partition): OffsetAndMetadata(offset, "", -1)
                    for partition, offset in offsets.items()
                }
            )
        return offsets

    async def _take_over(self, partitions: frozenset[int]) -> None:
        tps = [TopicPartition(self.topic, partition) for partition in sorted(partitions)]
        try:
            found = await self._coordinator.fetch_committed_offsets_async(tps, timeout_ms=_FETCH_MS)
        except KafkaError as error:
            # The next poll asks again, for itself.
            _log.warning("kafka.offsets_unknown", topic=self.topic, why=str(error))
            found = {}
        for tp, committed in found.items():
            if self._subscription.is_assigned(tp):
                self._subscription.seek(tp, committed.offset)
        starts = {tp.partition: found[tp].offset if tp in found else None for tp in tps}
        self._events.assigned(starts, self._cluster.topic_id(self.topic))


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Passes rebalances on to the member. On the I/O thread."""

    def __init__(self, member: Member) -> None:
        self._member = member

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._member._give_up(frozenset(tp.partition for tp in revoked))

    async def on_partitions_assigned(self, assigned: Any) -> None:
        await self._member._take_over(frozenset(tp.partition for tp in assigned))

    async def on_partitions_lost(self, lost: Any) -> None:
        _log.warning("kafka.lost", partitions=sorted(tp.partition for tp in lost))
        self._member._events.gave_up()
