"""A topic: its partitions, the group and the inboxes that read it, and what may be forgotten.

Pure: no lock, thread or clock. Readers are named by integers that the caller makes unique.
"""

import re
from collections.abc import Collection
from zlib import crc32

from transports.base import Address, GroupState, Message
from transports.errors import AddressUnknown, ConfigurationError, MessageRefused
from transports.memory.group import Group
from transports.memory.log import Log, Record

__all__ = ["MAX_BACKLOG", "MAX_BACKLOG_BYTES", "Topic", "check_name"]

MAX_BACKLOG = 100_000
"""Records of one partition that wait for a reader; beyond it a message is refused."""
MAX_BACKLOG_BYTES = 64 * 1024 * 1024
"""Bytes of one partition that wait for a reader; beyond it a message is refused."""
_HISTORY = 1_000
"""Records of one partition kept for a group that may yet come, though every inbox has read them."""
_HISTORY_BYTES = 4 * 1024 * 1024
"""Bytes of one partition kept so."""

# What a Kafka broker accepts (org.apache.kafka.common.internals.Topic), so that a name which works
# here works there.
_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def check_name(name: str) -> None:
    """Raise `ConfigurationError` unless `name` is one that a Kafka broker would accept too."""
    if not _LEGAL_NAME.fullmatch(name) or name in {".", ".."}:
        raise ConfigurationError(
            f"{name!r} cannot name a topic: use 1 to 249 of the characters a-z A-Z 0-9 . _ -"
        )


class Topic:
    """Partitioned logs under one name, with everything that reads them.

    Acknowledged records are forgotten at once. With no group, what all inboxes have read is kept as
    a short history, since a group that comes later begins with the oldest record kept.
    """

    def __init__(self, name: str, partitions: int) -> None:
        self.name = name
        self._logs = [Log(name, number) for number in range(partitions)]
        self._group: Group | None = None
        self._inboxes: dict[int, tuple[int, int]] = {}
        """Per inbox its partition and the next offset it reads."""
        self._had_inbox = False
        self._turn = 0

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return len(self._logs)

    def backlog(self, partition: int) -> int:
        """Return how many records of `partition` are kept."""
        return len(self._logs[partition])

    def check_partition(self, partition: int | None) -> None:
        """Raise `AddressUnknown` unless `partition` is None or one of this topic's."""
        if partition is not None and not 0 <= partition < self.partitions:
            raise AddressUnknown(
                f"topic {self.name!r} has no partition {partition}, only 0 to {self.partitions - 1}"
            )

    def append(
        self, address: Address, message: Message, now: float, avoid: Collection[int] = ()
    ) -> Record:
        """Append `message` where `address` and its key say, and return its record.

        With no partition and no key it goes to none of `avoid`, as long as there are others.

        Raises `AddressUnknown` for a partition that is not there, and `MessageRefused` when too
        much waits in the partition already; nothing has changed then.
        """
        self.check_partition(address.partition)
        log = self._logs[self._route(address.partition, message.key, avoid)]
        if len(log) >= MAX_BACKLOG or log.size >= MAX_BACKLOG_BYTES:
            raise MessageRefused(
                f"topic {self.name!r} is full: {len(log)} messages of {log.size} bytes wait in one "
                f"partition for a reader that does not come or does not acknowledge; start one, or "
                f"mend it"
            )
        record = log.append(message, now)
        self._forget(record.receipt.partition)
        return record

    def _route(self, partition: int | None, key: bytes | None, avoid: Collection[int]) -> int:
        if partition is not None:
            return partition
        if key is not None:
            return crc32(key) % self.partitions
        every = range(self.partitions)
        open_ = [one for one in every if one not in avoid] or every if avoid else every
        self._turn += 1
        return open_[(self._turn - 1) % len(open_)]

    def join(self, member: int) -> None:
        """Add `member` to the group, which begins with the oldest record kept."""
        if self._group is None:
            self._group = Group(self._logs)
        self._group.join(member)

    def leave(self, member: int) -> None:
        """Remove `member` from the group: what it holds goes to others. Twice: nothing."""
        if self._group is not None:
            self._group.leave(member)

    def take(self, member: int, limit: int, max_held: int) -> list[Record]:
        """Hand `member` up to `limit` records, but never so many that it holds over `max_held`."""
        if self._group is None:
            return []
        return self._group.take(member, min(limit, max_held - self._group.held(member)))

    def ack(self, member: int, partition: int, offset: int) -> bool:
        """Settle what `member` holds at that place; False if it does not hold it (any more)."""
        settled = self._group is not None and self._group.ack(member, partition, offset)
        if settled:
            self._forget(partition)
        return settled

    def holds(self, member: int, partition: int, offset: int) -> bool:
        """Tell whether `member` has what is at that place, unacknowledged."""
        return self._group is not None and self._group.holds(member, partition, offset)

    def group(self) -> GroupState:
        """Return how the group stands; one that never was has no members."""
        return GroupState(0, {}) if self._group is None else self._group.state()

    def open_inbox(self, inbox: int, partition: int | None) -> int:
        """Let `inbox` read from the end of `partition`, or of the one with fewest; return which."""
        self.check_partition(partition)
        chosen = self._quietest() if partition is None else partition
        self._inboxes[inbox] = (chosen, self._logs[chosen].end)
        self._had_inbox = True
        return chosen

    def _quietest(self) -> int:
        taken = [partition for partition, _ in self._inboxes.values()]
        return min(range(self.partitions), key=taken.count)

    def read(self, inbox: int, limit: int) -> list[Record]:
        """Return up to `limit` records that `inbox` has not read; none for one that is closed."""
        if inbox not in self._inboxes:
            return []
        partition, position = self._inboxes[inbox]
        log = self._logs[partition]
        until = min(position + limit, log.end)
        records = [record for at in range(position, until) if (record := log.read(at))]
        self._inboxes[inbox] = (partition, until)
        self._forget(partition)
        return records

    def close_inbox(self, inbox: int) -> None:
        """Forget `inbox`, and what only it had still to read. Twice: nothing."""
        partition, _ = self._inboxes.pop(inbox, (None, 0))
        if partition is not None:
            self._forget(partition)

    def _forget(self, partition: int) -> None:
        log, wanted = self._logs[partition], self._wanted(partition)
        if self._group is not None:
            log.trim(wanted)
            return
        log.trim(min(wanted, log.end - _HISTORY))
        while log.size > _HISTORY_BYTES and log.start < wanted:
            log.trim(log.start + 1)

    def _wanted(self, partition: int) -> int:
        """Return the oldest offset that somebody has still to read or acknowledge."""
        log = self._logs[partition]
        positions = [at for number, at in self._inboxes.values() if number == partition]
        if self._group is not None:
            positions.append(self._group.watermark(partition))
        elif not self._had_inbox:
            positions.append(log.start)
        return min(positions, default=log.end)
