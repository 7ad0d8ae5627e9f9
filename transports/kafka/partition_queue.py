"""What waits for one partition, and what goes out of it together. Pure.

While messages that may be packed are under way, what comes waits; when they are acknowledged, or
where nothing is under way as soon as the driver is ready to send, all that waits goes, in as few
records as can be. So nothing waits by a timer: one message alone goes at once, and the more there
is to send, the more goes together.
"""

from collections.abc import Sequence
from typing import NamedTuple

from transports.base import Message, OnSent
from transports.kafka.frames import MOST_BYTES, pack

__all__ = ["Entry", "Outgoing", "PartitionQueue", "outgoing", "singles"]


class Entry(NamedTuple):
    """A message, and whom to tell what became of it."""

    message: Message
    on_sent: OnSent
    once: bool
    packed: bool
    """Whether it may share a record with others."""
    since: float
    """When it came, in seconds on the monotonic clock."""


class Outgoing(NamedTuple):
    """One record to be written, for one message or for several."""

    message: Message
    entries: Sequence[Entry]


class PartitionQueue:
    """The messages for one partition. Guarded by its owner's lock.

    What it gave out is under way until `answered` has been told of each record. Whoever writes what
    `drain` gave out counts as one more record until done, so that nothing overtakes it.
    """

    __slots__ = ("_most_bytes", "_under_way", "_waiting", "_writing")

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._waiting: list[Entry] = []
        self._under_way = 0
        self._writing = False

    @property
    def waits(self) -> bool:
        """Whether something waits here, so that what comes now can go with it."""
        return bool(self._waiting)

    @property
    def open(self) -> bool:
        """Whether what may not be packed can go past here without overtaking anything."""
        return not (self._waiting or self._writing)

    @property
    def most_bytes(self) -> int:
        """How long a frame may be."""
        return self._most_bytes

    def put(self, entry: Entry) -> bool:
        """Let a message in; tell whether its sender is to see to it that it is drained."""
        self._waiting.append(entry)
        return not self._under_way and len(self._waiting) == 1

    def drain(self, *, forced: bool = False) -> list[Entry]:
        """Return all that waits, to be written now, and then to be told of by `drained`.

        Nothing while something is under way, unless `forced`.
        """
        if self._under_way and not forced:
            return []
        entries, self._waiting = self._waiting, []
        if entries:
            self._under_way += 1
            self._writing = True
        return entries

    def begins(self, records: int) -> None:
        """Note that so many records are about to be written."""
        self._under_way += records

    def drained(self) -> bool:
        """Note that all is written; tell whether to drain again."""
        self._writing = False
        return self.answered()

    def answered(self) -> bool:
        """Note that it is known of one record what became of it; tell whether to drain."""
        self._under_way -= 1
        return not self._under_way and bool(self._waiting)

    def too_large(self) -> None:
        """Make frames smaller from now on: one was refused for its size."""
        self._most_bytes //= 2


def outgoing(entries: Sequence[Entry], most_bytes: int) -> list[Outgoing]:
    """Return the records for `entries`, in their order.

    Messages that must not be appended twice share no record with others: what becomes of a record
    becomes of all that is in it.
    """
    made: list[Outgoing] = []
    start = 0
    while start < len(entries):
        first, end = entries[start], start + 1
        if first.packed:
            while end < len(entries) and entries[end].packed and entries[end].once == first.once:
                end += 1
        run = entries[start:end]
        made += _packed(run, most_bytes) if len(run) > 1 else [Outgoing(first.message, run)]
        start = end
    return made


def _packed(run: Sequence[Entry], most_bytes: int) -> list[Outgoing]:
    made: list[Outgoing] = []
    at = 0
    try:
        for message, count in pack([entry.message for entry in run], most_bytes):
            made.append(Outgoing(message, run[at : at + count]))
            at += count
    except Exception:  # one is no message at all: it is refused where it is written, by itself
        return singles(run)
    return made


def singles(entries: Sequence[Entry]) -> list[Outgoing]:
    """Return a record for each of `entries`."""
    return [Outgoing(entry.message, (entry,)) for entry in entries]
