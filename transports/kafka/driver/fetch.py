# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""Reading fetched batches so that no byte in them can stop a consumer."""

import itertools
import struct
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from kafka.consumer.fetcher import Fetcher, FetchMetadata, FetchRequestData, FetchSessionHandler
from kafka.errors import KafkaError
from kafka.protocol.consumer import FetchRequest, IsolationLevel

from transports.errors import ConfigurationError
from transports.kafka.clients import UnreadableBatch
from transports.kafka.driver.unpack import LIMIT, unpacked
from transports.kafka.records import Base, Record, read_records

__all__ = ["TolerantFetcher"]

_FETCH_VERSION = 12  # the newest that kafka-python's fetcher reads
_DAMAGE = (KafkaError, ValueError, IndexError, struct.error, OSError, EOFError)


class TolerantRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python is untyped
    """The records of one fetch.

    Stock, a batch that raises once leaves `poll` in an endless loop.
    """

    def __init__(self, *args: Any, limit: int = LIMIT, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._limit = limit

    def take(self, n: int | None = None) -> list[Record]:
        """Return up to `n` records; raise `UnreadableBatch` if the very first can't be had.

        Its cause is a `ConfigurationError` where the batch is whole, and we lack something. After
        an error nothing is left here, so that the partition is fetched again.
        """
        records: list[Record] = []
        try:
            records.extend(itertools.islice(self.record_iterator, 0, n))
        except UnreadableBatch:
            self.drain()
            if not records:
                raise
        return records

    def _unpack_records(self, tp: Any, records: Any, *_: object) -> Iterator[Record]:
        batch = None
        try:
            while (batch := records.next_batch()) is not None:
                if self._wanted(batch):
                    yield from self._read(batch)
                self.next_fetch_offset = batch.next_offset
        except (ConfigurationError, *_DAMAGE) as error:
            offset = self.next_fetch_offset
            following = max(offset + 1, batch.next_offset if batch is not None else 0)
            why = str(error) or type(error).__name__
            raise UnreadableBatch(tp.topic, tp.partition, offset, following, why) from error
        self.drain()

    def _wanted(self, batch: Any) -> bool:
        """Check the batch; False for those of no concern to an application."""
        if batch.magic < 2:
            raise ValueError(f"its format {batch.magic} is older than Kafka 0.11")
        if self.check_crcs and not batch.validate_crc():
            raise ValueError("its checksum is wrong")
        self.leader_epoch = batch.leader_epoch
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return False
        return not batch.is_control_batch

    def _read(self, batch: Any) -> Iterator[Record]:
        data, position = unpacked(batch, self._limit)
        stamp = batch.max_timestamp if batch.timestamp_type == batch.LOG_APPEND_TIME else None
        for record in read_records(
            data,
            position,
            batch.records_count,
            Base(batch.base_offset, batch.first_timestamp, stamp),
        ):
            self.next_fetch_offset = record.offset + 1
            self.bytes_read += record.size
            yield record


class Session(FetchSessionHandler):  # type: ignore[misc]  # kafka-python is untyped
    """What one broker knows of what is asked of it (KIP-227).

    Stock compares each partition with that of the last time, field by field; here an equal one is
    the same object.
    """

    def build_next(self, next_partitions: OrderedDict[Any, Any]) -> Any:
        """Return what to say: partitions that are new or have changed, and those that have gone."""
        if self.next_metadata.is_full:
            return super().build_next(next_partitions)
        known = self.session_partitions
        told = OrderedDict(
            (tp, partition)
            for tp, partition in next_partitions.items()
            if known.get(tp) is not partition
        )
        known.update(told)
        gone = known.keys() - next_partitions.keys() if len(known) > len(next_partitions) else set()
        for tp in gone:
            del known[tp]
        return FetchRequestData(told, gone, self.next_metadata)


class TolerantFetcher(Fetcher):  # type: ignore[misc]  # kafka-python is untyped
    """A fetcher that reads with `TolerantRecords`."""

    PartitionRecords: Any = TolerantRecords

    def __init__(self, client: Any, subscriptions: Any, **settings: Any) -> None:
        super().__init__(client, subscriptions, **settings)
        # Who allows large messages has batches that are larger when they are unpacked.
        limit = max(LIMIT, 4 * self.config["max_partition_fetch_bytes"])
        self.PartitionRecords = partial(TolerantRecords, limit=limit)
        self._asked: dict[Any, tuple[tuple[int, int, int], Any]] = {}
        self._validated = -1.0

    def send_fetches(self) -> Any:
        """Ask for more of each partition of which nothing is asked and nothing is here."""
        return self._net.step(self._send_fetches_async)

    def fetch_records(
        self,
        max_records: int | None = None,
        update_offsets: bool = True,  # noqa: FBT001, FBT002 - the signature of stock
        timeout_ms: float | None = None,
    ) -> tuple[Any, bool]:
        """Return what has come; where there is nothing to fetch, drive the loop for a while.

        Stock sleeps then, and nobody would send heartbeats, or hear that a join is due.
        """
        records, idle = super().fetch_records(max_records, update_offsets, timeout_ms)
        if idle and not records and timeout_ms:
            self._net.poll(min(timeout_ms, self.config["retry_backoff_ms"]))
        return records, False

    def maybe_validate_positions(self) -> None:
        """Compare positions with leaders' epochs where one may be new; stock does at each poll."""
        refreshed = self._manager.cluster._last_successful_refresh_ms
        if refreshed != self._validated:
            self._validated = refreshed
            super().maybe_validate_positions()

    def _create_fetch_requests(self) -> Mapping[Any, tuple[Any, Mapping[Any, int]]]:
        """Return, by node, what to ask for; with the offsets that are asked for.

        Stock describes every partition anew each time, and asks for each whether its node is ready:
        with twelve of them that is the larger part of a fetch.
        """
        cluster, assignment = self._manager.cluster, self._subscriptions.assignment
        ready: dict[Any, bool] = {}
        fetchable: dict[Any, OrderedDict[Any, Any]] = {}
        for tp in self._fetchable_partitions():
            node = self._select_read_replica(tp)
            if node is None or node == -1:
                cluster.request_update()
                continue
            if node not in ready:
                ready[node] = self._is_ready(node)
            if ready[node]:
                position, epoch = assignment[tp].position, cluster.leader_epoch_for_partition(tp)
                partition = self._asked_of(tp, position, -1 if epoch is None else epoch)
                fetchable.setdefault(node, OrderedDict())[tp] = partition
        return {
            node: (self._request(node, partitions), _offsets(partitions))
            for node, partitions in fetchable.items()
        }

    def _is_ready(self, node: Any) -> bool:
        """Whether to send a fetch there: none is on its way, and it may be spoken to."""
        return (
            node not in self._nodes_with_pending_fetch_requests
            and self._manager.connection_delay(node) <= 0
            and self._client.throttle_delay(node) <= 0
        )

    def _asked_of(self, tp: Any, position: Any, epoch: int) -> Any:
        """Return what is asked of a partition; that of the last time where nothing has changed."""
        state = position.offset, position.leader_epoch, epoch
        known = self._asked.get(tp)
        if known is None or known[0] != state:
            if known is not None and known[0][2] != epoch:
                self._validated = -1.0  # a leader that an answer to a fetch has told of
            asked = FetchRequest.FetchTopic.FetchPartition(
                partition=tp.partition,
                current_leader_epoch=epoch,
                fetch_offset=position.offset,
                last_fetched_epoch=position.leader_epoch,
                partition_max_bytes=self.config["max_partition_fetch_bytes"],
            )
            known = self._asked[tp] = state, asked
        return known[1]

    def _request(self, node: Any, partitions: OrderedDict[Any, Any]) -> Any:
        if self._enable_incremental_fetch_sessions:
            handler = self._session_handlers.get(node)
            if handler is None:
                handler = self._session_handlers[node] = Session(node)
            session = handler.build_next(partitions)
        else:
            session = FetchRequestData(partitions, None, FetchMetadata.LEGACY)
        return FetchRequest(
            max_wait_ms=self.config["fetch_max_wait_ms"],
            min_bytes=self.config["fetch_min_bytes"],
            max_bytes=self.config["fetch_max_bytes"],
            isolation_level=self._isolation_level,
            session_id=session.id,
            session_epoch=session.epoch,
            topics=session.to_send,
            forgotten_topics_data=session.to_forget,
            rack_id=self.config["client_rack"],
            min_version=FetchRequest.min_version_for_isolation_level(self._isolation_level),
            max_version=_FETCH_VERSION,
        )

    def abandon(self) -> None:
        """Drop what was fetched, so that a thread which still looks through it comes out."""
        self._completed_fetches.clear()
        self._next_partition_records = None


def _offsets(partitions: Mapping[Any, Any]) -> Mapping[Any, int]:
    return {tp: partition.fetch_offset for tp, partition in partitions.items()}
