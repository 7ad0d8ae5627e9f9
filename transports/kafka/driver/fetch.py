# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""Reading fetched batches so that no byte in them can stop a consumer."""

import itertools
import struct
from collections.abc import Iterator
from functools import partial
from typing import Any

from kafka.consumer.fetcher import Fetcher
from kafka.errors import KafkaError
from kafka.protocol.consumer import IsolationLevel

from transports.kafka.clients import UnreadableBatch
from transports.kafka.driver.unpack import LIMIT, unpacked
from transports.kafka.records import Base, Record, read_records

__all__ = ["TolerantFetcher"]


class TolerantRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python is untyped
    """The records of one fetch.

    Stock, a batch that raises once leaves `poll` in an endless loop.
    """

    def __init__(self, *args: Any, limit: int = LIMIT, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._limit = limit

    def take(self, n: int | None = None) -> list[Record]:
        """Return up to `n` records; raise `UnreadableBatch` if the very first can't be had.

        After an error nothing is left here, so that the partition is fetched again.
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
        except (KafkaError, ValueError, IndexError, struct.error, OSError, EOFError) as error:
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


class TolerantFetcher(Fetcher):  # type: ignore[misc]  # kafka-python is untyped
    """A fetcher that reads with `TolerantRecords`."""

    PartitionRecords: Any = TolerantRecords

    def __init__(self, client: Any, subscriptions: Any, **settings: Any) -> None:
        super().__init__(client, subscriptions, **settings)
        # Who allows large messages has batches that are larger when they are unpacked.
        limit = max(LIMIT, 4 * self.config["max_partition_fetch_bytes"])
        self.PartitionRecords = partial(TolerantRecords, limit=limit)

    def send_fetches(self) -> Any:
        """Ask for more of each partition of which nothing is asked and nothing is here."""
        return self._net.step(self._send_fetches_async)

    def abandon(self) -> None:
        """Drop what was fetched, so that a thread which still looks through it comes out."""
        self._completed_fetches.clear()
        self._next_partition_records = None
