# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""A producer made of kafka-python's accumulator and sender, without its front.

What the front (`KafkaProducer`) costs is left out: a future per record, sets of partitions built
anew for each send, and a finaliser that silences the module's logger. What is added: a failed batch
knows whether an attempt may have reached the broker, and then gives up the records in it that must
not be appended twice; and acknowledgements teach what time it is at the broker.

Owner: the sender's thread, but for the queues of batches, which have their locks.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from kafka.errors import InvalidMetadataError, InvalidRecordError, KafkaConnectionError
from kafka.producer.sender import Sender
from kafka.util import ensure_valid_topic_name

from transports.base import Address, Message, OnSent
from transports.errors import MessageTooLarge
from transports.kafka.broker_clock import BrokerClock
from transports.kafka.driver.accumulate import Accumulator, Batch
from transports.kafka.driver.client import Client
from transports.kafka.driver.write import RecordTooLarge
from transports.kafka.errors import indefinite, sending
from transports.kafka.topic_state import TopicState
from transports.log import get_logger
from transports.outcome import tell

__all__ = ["Producer"]

_log = get_logger(__name__)
_SLOW = 1.0
"""After how many seconds without an answer brokers are asked whether others lead by now."""
_LOOK_AGAIN = 0.5
_CODECS = {None: 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


class SteadySender(Sender):  # type: ignore[misc]  # kafka-python is untyped
    """A sender that marks what may have been appended, and saves the neighbours of a bad record."""

    clock: BrokerClock

    def run(self) -> None:
        """Send until closed."""
        self._client._net.call_later(_LOOK_AGAIN, self._look_at_slow_brokers)
        super().run()

    def _look_at_slow_brokers(self) -> None:
        """Leave a broker that owes an answer and leads nothing any more: others do it by now.

        Stock waits out the request's timeout where a broker is frozen or cut off, though its
        partitions have new leaders long before.
        """
        manager, now = self._client._manager, time.monotonic()
        for node, connection in list(manager._conns.items()):
            waiting = connection.in_flight_requests
            if not waiting or not connection.connected or now - waiting[0][2] < _SLOW:
                continue
            if self._metadata.partitions_for_broker(node):
                self._metadata.request_update()
            else:
                connection.close(KafkaConnectionError(f"broker {node} leads nothing any more"))
        if not manager.closed:
            self._client._net.call_later(_LOOK_AGAIN, self._look_at_slow_brokers)

    def _create_produce_requests(self, collated: Mapping[int, list[Batch]]) -> Any:
        now = time.monotonic()
        for batches in collated.values():
            for batch in batches:
                batch.outstanding, batch.sent_at = True, now
        return super()._create_produce_requests(collated)

    def _handle_produce_response(
        self, node_id: int, send_time: float, batches: list[Batch], response: Any
    ) -> None:
        answered = time.monotonic()
        # One of the stamps will do; none on topics that keep their producers' time.
        for partition in response.responses[0].partition_responses if response.responses else ():
            if partition.error_code == 0 and partition.log_append_time_ms > 0:
                stamp = partition.log_append_time_ms / 1000
                self.clock.learn(node_id, stamp, batches[0].sent_at, answered)
                break
        super()._handle_produce_response(node_id, send_time, batches, response)

    def _dispatch_error(
        self, batch: Batch, exception: BaseException, partition_response: Any
    ) -> None:
        if batch.outstanding and _may_be_there(exception, partition_response):
            batch.doubtful = True
        batch.outstanding = False
        innocent = self._innocent(batch, exception, partition_response)
        if innocent:
            self._split(batch, exception, innocent)
        elif batch.once and batch.doubtful and self._can_retry(batch, type(exception)):
            self._give_up_once(batch, exception)
        else:
            super()._dispatch_error(batch, exception, partition_response)

    def _give_up_once(self, batch: Batch, exception: BaseException) -> None:
        """Fail the records that another attempt might append twice; try the others again."""
        others = [i for i in range(batch.record_count) if i not in batch.once]
        if isinstance(exception, InvalidMetadataError):
            self._metadata.request_update()
        self._split(batch, exception, others, patient=True)

    def _innocent(self, batch: Batch, exception: BaseException, response: Any) -> list[int]:
        """Return the indices of records that were refused only for their company."""
        if response is None or not response.record_errors or batch.final_state is not None:
            return []
        if not isinstance(exception, InvalidRecordError):
            return []
        guilty = {error.batch_index for error in response.record_errors}
        return [i for i in range(batch.record_count) if i not in guilty]

    def _split(
        self, batch: Batch, exception: BaseException, spared: list[int], *, patient: bool = False
    ) -> None:
        """Queue the spared records of a failed batch anew, and fail the others."""
        topic, partition = batch.topic_partition
        kept = set(spared)
        failed = [f for i, f in enumerate(batch._record_futures) if i not in kept]
        self._accumulator.requeue(batch, (spared,) if spared else (), patient=patient)
        self._maybe_remove_from_inflight_batches(batch)
        self._accumulator.muted.discard(batch.topic_partition)
        for on_sent in failed:
            tell(on_sent, sending(exception, topic, partition, doubtful=batch.doubtful))


def _may_be_there(error: BaseException, response: Any) -> bool:
    """Whether an attempt that ended so may have been appended all the same.

    A leader that appends, and is deposed while it waits for its replicas, answers as one that was
    none in the first place; but it tells the offset.
    """
    return response is None or indefinite(error) or response.base_offset >= 0


class Producer:
    """Sends records over one client. All methods may be called from any thread."""

    def __init__(
        self,
        client: Client,
        settings: Mapping[str, Any],
        max_message_bytes: int,
        thread_name: str,
        clock: BrokerClock,
    ) -> None:
        """Start the thread; `clock` learns from what brokers acknowledge."""
        self._client = client
        self._max_message_bytes = max_message_bytes
        self._cluster = client.cluster
        self._accumulator = Accumulator(
            message_version=2,
            compression_attrs=_CODECS[settings.get("compression_type")],
            batch_size=settings["batch_size"],
            linger_ms=settings["linger_ms"],
            retry_backoff_ms=settings["retry_backoff_ms"],
            request_timeout_ms=settings["request_timeout_ms"],
            delivery_timeout_ms=settings["delivery_timeout_ms"],
        )
        self._sender = SteadySender(
            client,
            self._cluster,
            self._accumulator,
            acks=-1,
            guarantee_message_order=True,
            max_request_size=settings["max_request_size"],
            request_timeout_ms=settings["request_timeout_ms"],
            retry_backoff_ms=settings["retry_backoff_ms"],
            client_id=settings["client_id"],
        )
        self._sender.clock = clock
        self._sender.name = thread_name
        self._sender.daemon = True
        self._sender.start()

    @property
    def trouble(self) -> BaseException | None:
        """Why brokers can't be reached at the moment, where that is known."""
        return self._client.trouble

    def on_metadata(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each update of metadata, on the sender's thread."""
        self._cluster.add_listener(lambda _: listener())

    def on_ready(self, flush: Callable[[], None]) -> None:
        """Call `flush` before each look at what is to be sent, on the sender's thread."""
        self._accumulator.before_ready = flush

    def wake(self, place: Address) -> None:
        """Have the sender look at what is to be sent, as soon as it can send to that partition."""
        self._ring(place)

    def view(self, topic: str) -> object:
        """Return what identifies the present knowledge of `topic`; None when it is not known."""
        found: object = self._cluster._partitions.get(topic)
        return found

    def state(self, topic: str) -> TopicState:
        """Return what is known of `topic` without asking."""
        partitions = self._cluster._partitions.get(topic, {})
        every = tuple(sorted(partitions))
        led = tuple(p for p in every if partitions[p].leader_id != -1)
        return TopicState(every, led or every, topic in self._cluster.unauthorized_topics)

    def ask(self, topic: str) -> None:
        """Ask the brokers about `topic`; `on_metadata` listeners learn when they have answered.

        Raises `ValueError` for what can't be the name of a topic.
        """
        ensure_valid_topic_name(topic)

        def look() -> None:
            self._cluster._topics.add(topic)
            self._cluster.request_update()

        self._client._manager.call_soon(look)

    def forget(self, topic: str, error: BaseException) -> None:
        """Fail with `error` what waits to be sent to `topic`, and ask for it no more."""

        def drop() -> None:
            self._cluster._topics.discard(topic)
            self._accumulator.abort_topic(topic, error)

        self._client._manager.call_soon(drop)

    def put(
        self,
        place: Address,
        message: Message,
        on_sent: OnSent,
        *,
        once: bool = False,
        limit: int | None = None,
    ) -> None:
        """Queue a record for a partition that is known; never blocks on the network.

        `once`: there is no second attempt where the first may have been appended. `limit` goes
        before `max_message_bytes`. Raises `TransportClosed` or `MessageTooLarge`, then `on_sent` is
        not called.
        """
        limit = limit or self._max_message_bytes
        try:
            begun = self._accumulator.put(place, message, on_sent, limit, once=once)
        except RecordTooLarge as error:
            raise MessageTooLarge(
                f"a message to {place.topic} takes {error.size} bytes, and max_message_bytes is "
                f"{limit}; send less, or raise max_message_bytes here and max.message.bytes of the "
                "topic"
            ) from None
        if begun:
            self._ring(place)

    def waits(self, place: Address) -> bool:
        """Whether a batch for this partition waits to be sent; when read, perhaps no more."""
        return bool(self._accumulator._batches.get(place))

    def _ring(self, tp: Any) -> None:
        """Wake the sender, unless the leader's connection is full: its reply will do that."""
        if self._accumulator.flushing and threading.get_ident() == self._sender.ident:
            return
        self._accumulator.rung = True
        connection = self._client._manager._conns.get(self._cluster.leader_for_partition(tp))
        if connection is None or not connection.paused:
            self._client.wakeup()

    def close(self, timeout: float) -> None:
        """Send what is queued within `timeout` seconds, fail the rest, end the thread."""
        self._sender.initiate_close()
        if threading.current_thread() is not self._sender:
            self._sender.join(timeout)
            if self._sender.is_alive():
                self._sender.force_close()
                self._sender.join(1.0)
        if self._sender.is_alive():
            _log.warning("kafka.sender_left_running", thread=self._sender.name)
        else:
            self._client.shut()
        self._accumulator.abort_incomplete_batches()
