"""One partition of a topic: records by offset, appended at the end and trimmed from the start.

Pure: no lock, thread or clock; the time of an append is an argument.
"""

from typing import NamedTuple

from transports.base import Message, Receipt

__all__ = ["Log", "Record", "size_of"]


class Record(NamedTuple):
    """A message at its place, with the time at which it came there."""

    message: Message
    receipt: Receipt
    appended_at: float
    redelivered: bool = False
    """Whether it was handed out before."""


def size_of(message: Message) -> int:
    """Return how many bytes of content `message` carries: body, key and headers."""
    headers = sum(len(name.encode()) + len(value) for name, value in message.headers)
    return len(message.body) + len(message.key or b"") + headers


class Log:
    """The records of one partition, `start` to `end`; offsets are contiguous and never reused."""

    def __init__(self, topic: str, partition: int) -> None:
        self._topic = topic
        self._partition = partition
        self._records: dict[int, Record] = {}
        self.start = 0
        """Offset of the oldest record kept."""
        self.end = 0
        """Offset that the next record gets."""
        self.size = 0
        """Bytes of content kept."""

    def append(self, message: Message, now: float) -> Record:
        """Add `message` at the end and return its record."""
        record = Record(message, Receipt(self._topic, self._partition, self.end), now)
        self._records[self.end] = record
        self.end += 1
        self.size += size_of(message)
        return record

    def read(self, offset: int) -> Record | None:
        """Return the record at `offset`, or None if it was trimmed or is not there yet."""
        return self._records.get(offset)

    def trim(self, before: int) -> None:
        """Forget the records below `before`; what is not there is no fault."""
        while self.start < min(before, self.end):
            self.size -= size_of(self._records.pop(self.start).message)
            self.start += 1

    def __len__(self) -> int:
        return self.end - self.start
