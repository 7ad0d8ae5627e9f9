"""Which offsets may be committed of a topic's partitions, and which messages are here. Pure."""

from collections.abc import Collection, Mapping

from transports.kafka.ledger import LIMIT, Claim
from transports.kafka.partition_log import Mark, PartitionLog

__all__ = ["Offsets"]


class Offsets:
    """The partitions of one topic, as one group member sees them. Guarded by its owner's lock."""

    __slots__ = ("_logs", "_topic_id")

    def __init__(self) -> None:
        self._logs: dict[int, PartitionLog] = {}
        self._topic_id: object = None

    def assign(self, claims: Mapping[int, Claim], topic_id: object) -> None:
        """Hold these partitions from their committed offsets, and no others.

        A log that is not the one known before is begun anew: the topic has another id, or the
        group's offset has gone down.
        """
        self.release()
        if topic_id != self._topic_id:
            self._logs.clear()
            self._topic_id = topic_id
        for partition, claim in claims.items():
            log, start = self._logs.setdefault(partition, PartitionLog()), claim.committed
            if log.committed is not None and (start is None or start < log.committed):
                log = self._logs[partition] = PartitionLog()
            log.hold(claim)

    def release(self) -> None:
        """Hold nothing; what is in flight stays known."""
        for log in self._logs.values():
            log.held = False

    def at(self, partition: int, offset: int, part: int = 0) -> PartitionLog | None:
        """Return the log of what has come from there; None if the partition is not held."""
        log = self._logs.get(partition)
        if log is None or not log.held:
            return None
        if log.went_back(offset, part):
            log = self._logs[partition] = log.renew()
        return log

    def take(
        self, partition: int, offset: int, size: int, part: int = 0, parts: int = 1
    ) -> PartitionLog | None:
        """Put a message in flight; return the log to settle it in.

        None if it is not to be handed out: it is here already, it is settled, or the partition is
        not held.
        """
        log = self.at(partition, offset, part)
        return log if log is not None and log.take(offset, size, part, parts) else None

    @property
    def in_flight(self) -> int:
        """How many messages were taken and not settled, of partitions held or lost."""
        return sum(map(len, self._logs.values()))

    @property
    def in_flight_bytes(self) -> int:
        """Likewise in bytes."""
        return sum(log.pending_bytes for log in self._logs.values())

    @property
    def changed(self) -> bool:
        """Whether there is something to commit of the partitions held."""
        return any(log.held and log.changed for log in self._logs.values())

    def drained(self) -> bool:
        """Whether nothing of the partitions held is in flight."""
        return not any(log.held and len(log) for log in self._logs.values())

    def committable(
        self, wanted: Collection[PartitionLog] = (), limit: int = LIMIT
    ) -> dict[int, Mark]:
        """Return what is to be committed of partitions held: those that changed, or are wanted."""
        return {
            partition: log.mark(limit=limit)
            for partition, log in self._logs.items()
            if log.held and (log.changed or log in wanted)
        }

    def handover(self, limit: int = LIMIT) -> dict[int, Mark]:
        """Return what is to be committed of all partitions held, as the last word of their owner.

        Nothing may be handed out afterwards.
        """
        return {
            partition: log.mark(handed_over=True, limit=limit)
            for partition, log in self._logs.items()
            if log.held
        }

    def committed(self, marks: Mapping[int, Mark]) -> None:
        """Note that a commit has succeeded; one of another log changes nothing."""
        for partition, mark in marks.items():
            if self._logs.get(partition) is mark.log and mark.log.held:
                mark.log.confirm(mark)
