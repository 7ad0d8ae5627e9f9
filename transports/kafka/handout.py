"""What a shared receiver hands out: messages leave the backlog and are in flight from then on.

Owner: the receiver, under whose lock everything here is called.
"""

from collections.abc import Iterator, Sequence

from transports.base import Delivery, Receipt
from transports.kafka.backlog import TOGETHER, Backlog
from transports.kafka.chunks import Assembled, Assembler, is_chunk
from transports.kafka.config import KafkaConfig
from transports.kafka.custody import Share, ShareOwner
from transports.kafka.offsets import Offsets
from transports.kafka.partition_log import PartitionLog
from transports.kafka.records import Record

__all__ = ["Handout", "Source"]

Source = tuple[int, PartitionLog]
"""Where chunks come from: a partition, as long as its log is the same one."""


class Handout:
    """Makes deliveries of what was fetched, as far as the bounds admit."""

    def __init__(
        self,
        owner: ShareOwner,
        topic: str,
        config: KafkaConfig,
        offsets: Offsets,
        backlog: Backlog[Source],
    ) -> None:
        self._owner = owner
        self._topic = topic
        self._config = config
        self._offsets = offsets
        self._backlog = backlog
        self._chunks: Assembler[Source] = backlog.chunks
        self._shares: dict[PartitionLog, Share] = {}
        self.starved = False
        """Whether something is queued that there was no room to hand out."""

    def assigned(self) -> None:
        """Let another assignment begin."""
        self._shares.clear()

    def lasts(self, share: Share) -> bool:
        """Whether a share is of the present assignment."""
        return share.log.held and self._shares.get(share.log) is share

    def take(self) -> Sequence[Delivery]:
        """Put some of what is there in flight."""
        deliveries: list[Delivery] = []
        room = self._config.max_unacked - self._offsets.in_flight
        space = self._space()
        while self._backlog and room > 0 and space > 0 and not deliveries:
            for partition, record in self._backlog.take(min(room, TOGETHER), space):
                if self._chunks or is_chunk(record):
                    deliveries += self._assemble(partition, record)
                    continue
                delivery = self._plain(partition, record)
                if delivery is not None:
                    deliveries.append(delivery)
            space = self._space()
        self.starved = bool(self._backlog) and (len(deliveries) >= room or space <= 0)
        return deliveries or ()

    def _space(self) -> int:
        return self._config.max_unacked_bytes - self._offsets.in_flight_bytes

    def _plain(self, partition: int, record: Record) -> Delivery | None:
        """Put a message in flight; None for one that is not to be handed out."""
        log = self._offsets.take(partition, record.offset, record.size, record.part, record.parts)
        return None if log is None else self._delivery(partition, log, record)

    def _assemble(self, partition: int, record: Record) -> Iterator[Delivery]:
        """Yield what is known with this record, where chunks wait, or it is one."""
        log = self._offsets.at(partition, record.offset, record.part)
        if log is None:
            return
        source = (partition, log)
        known = self._chunks.expire(source, record.timestamp)
        chunk = is_chunk(record)
        if chunk:
            fresh = log.reserve(record.offset)
            known += (self._chunks.add if fresh else self._chunks.skip)(source, record)
        for one in known:
            delivery = self._known(one)
            if delivery is not None:
                yield delivery
        if not chunk:
            delivery = self._plain(partition, record)
            if delivery is not None:
                yield delivery

    def _known(self, one: Assembled[Source]) -> Delivery | None:
        """Put a message in flight whose chunks have come, or settle chunks that make none."""
        partition, log = one.source
        if one.record is None:
            for offset in one.offsets:
                log.settle(offset)
            return None
        if not log.held or not log.bind(one.offsets, one.record.size):
            return None
        return self._delivery(partition, log, one.record)

    def _delivery(self, partition: int, log: PartitionLog, record: Record) -> Delivery:
        share = self._shares.get(log)
        if share is None:
            share = self._shares[log] = Share(self._owner, log)
        offset, part = record.offset, record.part
        receipt = Receipt(self._topic, partition, offset, part)
        delivery = Delivery(
            record.message, receipt, record.timestamp / 1000, share, problem=record.problem
        )
        if log.redelivered(offset):
            delivery.redelivered = True
            delivery.crashes = log.crashes(offset, part)
        return delivery
