"""Messages that may be packed wait here while others are under way to their partition.

Owners: each partition's queue is guarded by its lock, under which nothing is written, packed or
told. Queues are made by any thread, and stay: one for each partition that packed messages went to.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from transports import failpoints
from transports.base import Address, Message, OnSent, Receipt
from transports.errors import MessageRefused, MessageTooLarge, TransportError, Unreachable
from transports.kafka.clients import IN_A_ROW
from transports.kafka.frames import MOST_BYTES
from transports.kafka.partition_queue import (
    Entry,
    Outgoing,
    PartitionQueue,
    outgoing,
    singles,
)
from transports.outcome import tell

__all__ = ["Outbox", "RecordWriter"]


class RecordWriter(Protocol):
    """Who writes the records. Any thread."""

    def wake(self, place: Address, *, alone: bool) -> None:
        """Call `Outbox.flush` as soon as the driver is ready to send to that partition.

        On another thread, so that what one sends in one go goes together; perhaps on this one where
        messages come one by one (`alone`).
        """

    def write(
        self, place: Address, message: Message, on_sent: OnSent, *, once: bool, packed: bool
    ) -> None:
        """Write a record; `on_sent` is told once, perhaps before this returns.

        `packed`: whoever gets it reads what is not one plain record for each message.
        """

    def turn_back(self, place: Address, entries: Sequence[Entry]) -> bool:
        """Take messages to a place that is not there any more; False where it is."""
        ...


class _Partition:
    """The queue of one partition, and its lock."""

    __slots__ = ("lock", "place", "queue")

    def __init__(self, place: Address, most_bytes: int) -> None:
        self.place = place
        self.queue = PartitionQueue(most_bytes)
        self.lock = threading.Lock()


class Outbox:
    """Sends by way of a writer. All methods from any thread."""

    def __init__(
        self,
        writer: RecordWriter,
        patience: float,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make frames of up to `most_bytes`; what has waited `patience` seconds is given up."""
        self._writer = writer
        self._patience = patience
        self._most_bytes = min(most_bytes, MOST_BYTES)
        self._clock = clock
        self._partitions: dict[Address, _Partition] = {}
        self._ready: deque[_Partition] = deque()
        self._closed = False
        self._alone = 0
        """How often in a row one message alone was written."""

    def knows(self, place: Address) -> bool:
        """Whether anything was packed for that partition: what is not has to keep its turn."""
        return place in self._partitions

    def waits(self, place: Address) -> bool:
        """Whether something waits for that partition; when read, perhaps no more."""
        partition = self._partitions.get(place)
        return partition is not None and partition.queue.waits

    def send(
        self, place: Address, message: Message, on_sent: OnSent, *, once: bool, packed: bool
    ) -> None:
        """Send `message` now, or with what goes next to that partition. In order for each thread.

        `on_sent` is told once; see `Transport.send`.
        """
        partition = self._partitions.get(place)
        if partition is None:
            partition = self._partitions.setdefault(place, _Partition(place, self._most_bytes))
        if not packed and partition.queue.open:
            self._writer.write(place, message, on_sent, once=once, packed=packed)
            return
        entry = Entry(message, on_sent, once, packed, self._clock())
        with partition.lock:
            drain = partition.queue.put(entry)
        if drain:
            self._ready.append(partition)
            self._writer.wake(place, alone=self._alone >= IN_A_ROW)
            if self._closed:  # perhaps nobody is awake any more
                self._flush(partition)

    def flush(self) -> None:
        """Write what waits for partitions to which nothing is under way."""
        while self._ready:
            if failpoints.on:
                failpoints.hit("outbox.flush")  # can't be dropped: each sender is told once
            with suppress(IndexError):  # another thread took the last
                self._flush(self._ready.popleft())

    def close(self) -> None:
        """Write all that waits, whatever is under way, and from now on at once."""
        self._closed = True
        for partition in list(self._partitions.values()):
            self._flush(partition, forced=True)

    def _flush(self, partition: _Partition, *, forced: bool = False) -> None:
        """Write what waits, and what has come meanwhile where nothing is under way any more."""
        again = True
        while again:
            with partition.lock:
                entries: Sequence[Entry] = partition.queue.drain(forced=forced)
            if not entries:
                return
            self._alone = self._alone + 1 if len(entries) == 1 else 0
            late = self._clock() - self._patience
            if entries[0].since < late:
                self._give_up(partition, [entry for entry in entries if entry.since < late])
                entries = [entry for entry in entries if entry.since >= late]
            if not self._writer.turn_back(partition.place, entries):
                self._send_all(partition, outgoing(entries, partition.queue.most_bytes))
            with partition.lock:
                again = partition.queue.drained()

    def _send_all(self, partition: _Partition, made: Sequence[Outgoing]) -> None:
        with partition.lock:
            partition.queue.begins(len(made))
        for record in made:
            told = _Answer(self, partition, record)
            first = record.entries[0]
            self._writer.write(
                partition.place, record.message, told, once=first.once, packed=first.packed
            )

    def _give_up(self, partition: _Partition, entries: Sequence[Entry]) -> None:
        error = Unreachable(
            f"not sent to {partition.place.topic}: what was sent before it took longer than "
            f"{self._patience} s"
        )
        for entry in entries:
            tell(entry.on_sent, error)

    def _answered(
        self, partition: _Partition, record: Outgoing, outcome: Receipt | TransportError
    ) -> None:
        """Let the next ones go, and tell the senders of a record what became of it."""
        refused = isinstance(outcome, MessageTooLarge | MessageRefused)
        alone = len(record.entries) == 1
        if refused and not alone:
            # One of them may be guilty, or it is a topic that takes less: each for itself, then.
            if isinstance(outcome, MessageTooLarge):
                with partition.lock:
                    partition.queue.too_large()
            self._send_all(partition, singles(record.entries))
        with partition.lock:
            drain = partition.queue.answered()
        if drain:
            self._flush(partition)
        if alone:
            tell(record.entries[0].on_sent, outcome)
        elif not refused:
            for part, entry in enumerate(record.entries):
                tell(entry.on_sent, _of_part(outcome, part))


class _Answer:
    """Whom the writer of a record tells what became of it."""

    __slots__ = ("_outbox", "_partition", "_record")

    def __init__(self, outbox: Outbox, partition: _Partition, record: Outgoing) -> None:
        self._outbox, self._partition, self._record = outbox, partition, record

    def __call__(self, outcome: Receipt | TransportError) -> None:
        self._outbox._answered(self._partition, self._record, outcome)  # noqa: SLF001 - of this module


def _of_part(outcome: Receipt | TransportError, part: int) -> Receipt | TransportError:
    if isinstance(outcome, Receipt):
        return Receipt(outcome.topic, outcome.partition, outcome.offset, part)
    return outcome
