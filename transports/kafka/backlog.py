"""What was fetched and is not handed out yet. Pure.

Frames stay as they came until their turn: taken apart they are a dozen objects for each message,
which Python's garbage collector goes through the more often, the more of them are alive at once.
"""

import sys
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, Self, TypeVar

from transports.kafka.chunks import Assembler
from transports.kafka.config import KafkaConfig
from transports.kafka.frames import messages_in, take_apart
from transports.kafka.records import Record

__all__ = ["TOGETHER", "Backlog"]

TOGETHER = 128
"""How many messages receivers hand out at once, at most."""

_PATIENCE = 60.0
"""Seconds that a message in chunks is waited for, where `delivery_timeout` is not long."""

S = TypeVar("S", bound=Hashable)


class Backlog(Generic[S]):
    """Records in the order in which they came, counted by their messages. Not thread-safe."""

    __slots__ = ("_records", "bytes", "chunks", "messages")

    def __init__(self, chunks: Assembler[S]) -> None:
        self._records: deque[tuple[int, Record]] = deque()
        self.chunks = chunks
        """Messages of which some chunks were taken, and not all have come; not counted."""
        self.messages = 0
        """How many messages there are, as the records say."""
        self.bytes = 0

    @classmethod
    def of(cls, config: KafkaConfig) -> Self:
        """Make one for a receiver.

        A sender gives each chunk up after its `delivery_timeout`, which should be like our own.
        """
        most_bytes = max(config.max_unacked_bytes, config.max_chunked_bytes)
        return cls(Assembler(most_bytes, max(_PATIENCE, 2 * config.delivery_timeout)))

    def __bool__(self) -> bool:
        return bool(self._records)

    def add(self, partition: int, records: Iterable[Record]) -> None:
        """Put records of one partition behind what is there."""
        for record in records:
            self._records.append((partition, record))
            self.messages += messages_in(record)
            self.bytes += record.size

    def clear(self) -> None:
        """Forget everything."""
        self._records.clear()
        self.chunks.clear()
        self.messages = self.bytes = 0

    def take(self, most: int, most_bytes: int = sys.maxsize) -> Sequence[tuple[int, Record]]:
        """Take the first messages out, frames taken apart, each with its partition.

        Not more than `most`, and none beyond the first with which there are `most_bytes`.
        """
        taken: list[tuple[int, Record]] = []
        size = 0
        while self._records and len(taken) < most and size < most_bytes:
            partition, record = self._records.popleft()
            apart = take_apart(record)
            if len(apart) > 1:
                self._records.extendleft([(partition, one) for one in reversed(apart)])
                self.bytes += len(apart) * apart[0].size - record.size
                continue
            self.messages -= messages_in(record)
            self.bytes -= record.size
            size += record.size
            taken.append((partition, apart[0]))
        return taken
