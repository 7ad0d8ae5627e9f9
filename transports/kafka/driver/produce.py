# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""A producer made of kafka-python's accumulator and sender, without its front.

What the front (`KafkaProducer`) costs is left out: a future per record, sets of partitions built
anew for each send, and a finaliser that silences the module's logger. What is added: a failed batch
knows whether an attempt may have reached the broker.

Owners: the queues of batches belong to their partitions' locks; all else to the sender's thread.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kafka.errors import IllegalStateError, InvalidRecordError
from kafka.producer.producer_batch import ProducerBatch
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.producer.sender import Sender
from kafka.record.memory_records import MemoryRecords
from kafka.util import ensure_valid_topic_name

from transports.base import Address, Message, OnSent, Receipt
from transports.errors import MessageTooLarge, TransportClosed
from transports.kafka.driver.client import Client
from transports.kafka.driver.write import BatchBuilder, RecordTooLarge
from transports.kafka.errors import indefinite, sending
from transports.kafka.resolver import TopicState
from transports.log import get_logger

__all__ = ["Producer"]

_log = get_logger(__name__)
_NO_LIMIT = sys.maxsize
_CODECS = {None: 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


class Batch(ProducerBatch):  # type: ignore[misc]  # kafka-python is untyped
    """A batch that tells each record's sender what became of it, once."""

    outstanding = False
    """Whether a request with it is under way."""
    doubtful = False
    """Whether an earlier attempt may have been appended."""

    def put(self, message: Message, on_sent: OnSent, limit: int = _NO_LIMIT) -> bool:
        """Append a record; False when the batch is full. Raises `RecordTooLarge`."""
        if not self.records.put(message, limit):
            return False
        self._record_futures.append(on_sent)
        return True

    def _complete_future(self, base_offset: int, timestamp_ms: int, errors: Any) -> None:
        super()._complete_future(base_offset, timestamp_ms, errors)
        topic, partition = self.topic_partition
        for index, on_sent in enumerate(self._record_futures):
            if errors is None:
                _tell(on_sent, Receipt(topic, partition, base_offset + index))
            else:
                doubtful = self.doubtful or self.outstanding
                _tell(on_sent, sending(errors(index), topic, partition, doubtful=doubtful))


class Accumulator(RecordAccumulator):  # type: ignore[misc]  # kafka-python is untyped
    """Queues of batches, one per partition."""

    def put(self, tp: Any, message: Message, on_sent: OnSent, limit: int) -> bool:
        """Append a record; True when that began a batch.

        Raises `TransportClosed`, and `RecordTooLarge` for one of more than `limit` bytes.
        """
        with self._tp_lock(tp):
            if self._closed:
                raise TransportClosed("the transport is closed")
            queue = self._batches[tp]
            if queue and queue[-1].put(message, on_sent, limit):
                return False
            batch = self._begin(tp, time.monotonic())
            batch.put(message, on_sent, limit)
            queue.append(batch)
            self._incomplete.add(batch)
            return True

    def _tp_lock(self, tp: Any) -> threading.Lock:
        lock: threading.Lock | None = self._tp_locks.get(tp)
        return lock or super()._tp_lock(tp)

    def _begin(self, tp: Any, created: float) -> Batch:
        records = BatchBuilder(self.config["compression_attrs"], self.config["batch_size"])
        return Batch(tp, records, now=created)

    def requeue(self, batch: Batch, parts: Iterable[Iterable[int]]) -> None:
        """Queue the records of a refused batch anew, in batches by their indices."""
        tp = batch.topic_partition
        records = [r for b in MemoryRecords(batch.records.buffer()) for r in b]
        fresh = []
        for indices in parts:
            part = self._begin(tp, batch.created)
            part.attempts, part.last_attempt, part.doubtful = batch.attempts, 0.0, batch.doubtful
            for i in indices:
                record = records[i]
                message = Message(record.value, record.headers, record.key)
                if not part.put(message, batch._record_futures[i]):
                    raise IllegalStateError("a part of a batch is larger than the whole")
            fresh.append(part)
        with self._tp_lock(tp):
            for part in reversed(fresh):
                self._batches[tp].appendleft(part)
                self._incomplete.add(part)
        self.deallocate(batch)

    def split_and_reenqueue(self, batch: Batch, now: float | None = None) -> int:  # noqa: ARG002 - inherited
        """Try the halves of a batch that was too large for its topic."""
        half = (batch.record_count + 1) // 2
        self.requeue(batch, (range(half), range(half, batch.record_count)))
        return 2

    def abort_topic(self, topic: str, error: BaseException) -> None:
        """Fail what waits for `topic`, and forget its queues. On the sender's thread."""
        for tp in [tp for tp in list(self._batches) if tp.topic == topic]:
            with self._tp_lock(tp):
                waiting = list(self._batches[tp])
                self._batches[tp].clear()
            for batch in waiting:
                batch.records.close()
                batch.abort(error)
                self.deallocate(batch)
            with self._tp_lock(tp):
                if not self._batches[tp]:
                    del self._batches[tp]

    def abort_incomplete_batches(self) -> None:
        """Fail everything that is not done. Only when closed, so that nothing is added after."""
        for lock in list(self._tp_locks.values()):
            with lock:
                pass
        self.abort_batches(IllegalStateError("closed"))


class SteadySender(Sender):  # type: ignore[misc]  # kafka-python is untyped
    """A sender that marks what may have been appended, and saves the neighbours of a bad record."""

    def _create_produce_requests(self, collated: Mapping[int, list[Batch]]) -> Any:
        for batches in collated.values():
            for batch in batches:
                batch.outstanding = True
        return super()._create_produce_requests(collated)

    def _dispatch_error(
        self, batch: Batch, exception: BaseException, partition_response: Any
    ) -> None:
        if batch.outstanding and (partition_response is None or indefinite(exception)):
            batch.doubtful = True
        batch.outstanding = False
        innocent = self._innocent(batch, exception, partition_response)
        if innocent:
            self._save(batch, exception, innocent)
        else:
            super()._dispatch_error(batch, exception, partition_response)

    def _innocent(self, batch: Batch, exception: BaseException, response: Any) -> list[int]:
        """Return the indices of records that were refused only for their company."""
        if response is None or not response.record_errors or batch.final_state is not None:
            return []
        if not isinstance(exception, InvalidRecordError):
            return []
        guilty = {error.batch_index for error in response.record_errors}
        return [i for i in range(batch.record_count) if i not in guilty]

    def _save(self, batch: Batch, exception: BaseException, innocent: list[int]) -> None:
        topic, partition = batch.topic_partition
        spared = set(innocent)
        guilty = [f for i, f in enumerate(batch._record_futures) if i not in spared]
        self._accumulator.requeue(batch, (innocent,))
        self._maybe_remove_from_inflight_batches(batch)
        self._accumulator.muted.discard(batch.topic_partition)
        for on_sent in guilty:
            _tell(on_sent, sending(exception, topic, partition, doubtful=False))


class Producer:
    """Sends records over one client. All methods may be called from any thread."""

    def __init__(
        self, client: Client, settings: Mapping[str, Any], max_message_bytes: int, thread_name: str
    ) -> None:
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

    def put(self, place: Address, message: Message, on_sent: OnSent) -> None:
        """Queue a record for a partition that is known; never blocks on the network.

        Raises `TransportClosed` or `MessageTooLarge`, then `on_sent` is not called.
        """
        limit = self._max_message_bytes
        try:
            begun = self._accumulator.put(place, message, on_sent, limit)
        except RecordTooLarge as error:
            raise MessageTooLarge(
                f"a message to {place.topic} takes {error.size} bytes, and max_message_bytes is "
                f"{limit}; send less, or raise max_message_bytes here and max.message.bytes of the "
                "topic"
            ) from None
        if begun and not self._busy(place):
            self._client.wakeup()

    def waits(self, place: Address) -> bool:
        """Whether a batch for this partition waits to be sent; when read, perhaps no more."""
        return bool(self._accumulator._batches.get(place))

    def _busy(self, tp: Any) -> bool:
        """Whether the leader's connection is full: its reply will wake the sender."""
        connection = self._client._manager._conns.get(self._cluster.leader_for_partition(tp))
        return connection is not None and bool(connection.paused)

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


def _tell(on_sent: OnSent, outcome: Any) -> None:
    try:
        on_sent(outcome)
    except Exception:
        _log.exception("kafka.on_sent_failed")
