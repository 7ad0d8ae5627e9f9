# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""Batches of records that wait to be sent, and know what may have become of them.

Owners: the queues of batches belong to their partitions' locks; a batch that has left them, to who
has the sender's loop.
"""

import sys
import threading
import time
from collections.abc import Iterable
from typing import Any

from kafka.errors import IllegalStateError
from kafka.producer.producer_batch import ProducerBatch
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.record.memory_records import MemoryRecords

from transports import failpoints
from transports.base import Message, OnSent, Receipt
from transports.errors import TransportClosed
from transports.kafka.driver.write import BatchBuilder
from transports.kafka.errors import sending
from transports.outcome import tell

__all__ = ["Accumulator", "Batch"]

_NO_LIMIT = sys.maxsize


class Batch(ProducerBatch):  # type: ignore[misc]  # kafka-python is untyped
    """A batch that tells each record's sender what became of it, once."""

    outstanding = False
    """Whether a request with it is under way."""
    doubtful = False
    """Whether an earlier attempt may have been appended."""
    sent_at = 0.0
    """When the last attempt began, on the monotonic clock."""
    once: frozenset[int] = frozenset()
    """The indices of records that must not be appended twice: mostly there are none."""

    def put(
        self, message: Message, on_sent: OnSent, limit: int = _NO_LIMIT, *, once: bool = False
    ) -> bool:
        """Append a record; False when the batch is full. Raises `RecordTooLarge`."""
        if not self.records.put(message, limit):
            return False
        if once:
            self.once |= {len(self._record_futures)}
        self._record_futures.append(on_sent)
        return True

    def _complete_future(self, base_offset: int, timestamp_ms: int, errors: Any) -> None:
        super()._complete_future(base_offset, timestamp_ms, errors)
        topic, partition = self.topic_partition
        if failpoints.on and errors is None:
            failpoints.hit("producer.acked")  # telling can't be dropped: each sender is told once
        for index, on_sent in enumerate(self._record_futures):
            if errors is None:
                tell(on_sent, Receipt(topic, partition, base_offset + index))
            else:
                doubtful = self.doubtful or self.outstanding
                tell(on_sent, sending(errors(index), topic, partition, doubtful=doubtful))


class Accumulator(RecordAccumulator):  # type: ignore[misc]  # kafka-python is untyped
    """Queues of batches, one for each partition that has some.

    Stock keeps empty ones, and goes through all of them several times for each request: with 64
    partitions a sixth of what a lone call takes of its client's processor time.
    """

    def put(self, tp: Any, message: Message, on_sent: OnSent, limit: int, *, once: bool) -> bool:
        """Append a record; True when that began a batch.

        Raises `TransportClosed`, and `RecordTooLarge` for one of more than `limit` bytes.
        """
        with self._tp_lock(tp):
            if self._closed:
                raise TransportClosed("the transport is closed")
            queue = self._batches[tp]
            if queue and queue[-1].put(message, on_sent, limit, once=once):
                return False
            batch = self._begin(tp, time.monotonic())
            batch.put(message, on_sent, limit, once=once)
            queue.append(batch)
            self._incomplete.add(batch)
            return True

    def _tp_lock(self, tp: Any) -> threading.Lock:
        lock: threading.Lock | None = self._tp_locks.get(tp)
        return lock or super()._tp_lock(tp)

    def _begin(self, tp: Any, created: float) -> Batch:
        records = BatchBuilder(self.config["compression_attrs"], self.config["batch_size"])
        return Batch(tp, records, now=created)

    def requeue(
        self, batch: Batch, parts: Iterable[Iterable[int]], *, patient: bool = False
    ) -> None:
        """Queue the records of a failed batch anew, in batches by their indices.

        `patient`: they wait a moment before the next attempt, as a batch does that is tried again.
        """
        tp = batch.topic_partition
        records = [r for b in MemoryRecords(batch.records.buffer()) for r in b]
        fresh = []
        for indices in parts:
            part = self._begin(tp, batch.created)
            part.attempts, part.last_attempt, part.doubtful = batch.attempts, 0.0, batch.doubtful
            for i in indices:
                record = records[i]
                message = Message(record.value, record.headers, record.key)
                if not part.put(message, batch._record_futures[i], once=i in batch.once):
                    raise IllegalStateError("a part of a batch is larger than the whole")
            if patient:
                part.retry()
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

    def drain_batches_for_one_node(
        self, cluster: Any, node_id: int, max_size: int, now: float | None = None
    ) -> list[Batch]:
        """Take the batches for one request to a broker out of their queues."""
        taken: list[Batch] = super().drain_batches_for_one_node(cluster, node_id, max_size, now)
        for batch in taken:
            self._drop_if_empty(batch.topic_partition)
        return taken

    def _drop_if_empty(self, tp: Any) -> None:
        """Forget a queue without batches."""
        with self._tp_lock(tp):
            if not self._batches[tp]:
                del self._batches[tp]

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
            self._drop_if_empty(tp)

    def abort_incomplete_batches(self) -> None:
        """Fail everything that is not done. Only when closed, so that nothing is added after."""
        for lock in list(self._tp_locks.values()):
            with lock:
                pass
        self.abort_batches(IllegalStateError("closed"))
