"""Messages that may be packed wait here while others are under way to their partition.

Owners: each partition's lane is guarded by its lock, under which nothing is written, packed or
told. Lanes are made by any thread, and stay.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from transports import failpoints
from transports.base import Address, Message, OnSent, Receipt
from transports.errors import MessageRefused, MessageTooLarge, TransportError, Unreachable
from transports.kafka.frames import MOST_BYTES
from transports.kafka.lane import Entry, Lane, Load, loads, singles
from transports.outcome import tell

__all__ = ["Outbox", "Shore"]


class Shore(Protocol):
    """Who writes the records. Any thread."""

    def write(self, place: Address, message: Message, on_sent: OnSent, *, once: bool) -> None:
        """Write a record; `on_sent` is told once, perhaps before this returns."""

    def turn_back(self, place: Address, entries: Sequence[Entry]) -> bool:
        """Take messages to a place that is not there any more; False where it is."""
        ...


class _Quay:
    """The lane of one partition, and its lock."""

    __slots__ = ("lane", "lock", "place")

    def __init__(self, place: Address, most_bytes: int) -> None:
        self.place = place
        self.lane = Lane(most_bytes)
        self.lock = threading.Lock()


class Outbox:
    """Sends by way of a shore. All methods from any thread."""

    def __init__(
        self,
        shore: Shore,
        patience: float,
        most_bytes: int = MOST_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make frames of up to `most_bytes`; what has waited `patience` seconds is given up."""
        self._shore = shore
        self._patience = patience
        self._most_bytes = min(most_bytes, MOST_BYTES)
        self._clock = clock
        self._quays: dict[Address, _Quay] = {}

    def knows(self, place: Address) -> bool:
        """Whether anything was packed for that partition: what is not has to keep its turn."""
        return place in self._quays

    def waits(self, place: Address) -> bool:
        """Whether something waits for that partition; when read, perhaps no more."""
        quay = self._quays.get(place)
        return quay is not None and quay.lane.waits

    def send(
        self, place: Address, message: Message, on_sent: OnSent, *, once: bool, packed: bool
    ) -> None:
        """Send `message` now, or with what goes next to that partition. In order for each thread.

        `on_sent` is told once; see `Transport.send`.
        """
        quay = self._quays.get(place)
        if quay is None:
            quay = self._quays.setdefault(place, _Quay(place, self._most_bytes))
        if not packed and quay.lane.open:
            self._shore.write(place, message, on_sent, once=once)
            return
        entry = Entry(message, on_sent, once, packed, self._clock())
        with quay.lock:
            depart = quay.lane.enter(entry)
        if depart:
            self._depart(quay)

    def close(self) -> None:
        """Write all that waits, whatever is under way."""
        for quay in list(self._quays.values()):
            self._depart(quay, forced=True)

    def _depart(self, quay: _Quay, *, forced: bool = False) -> None:
        """Write what waits, and what has come meanwhile where nothing is under way any more."""
        again = True
        while again:
            with quay.lock:
                entries: Sequence[Entry] = quay.lane.depart(forced=forced)
            if not entries:
                return
            if failpoints.on:
                failpoints.hit("outbox.departs")  # can't be dropped: each sender is told once
            late = self._clock() - self._patience
            if entries[0].since < late:
                self._give_up(quay, [entry for entry in entries if entry.since < late])
                entries = [entry for entry in entries if entry.since >= late]
            if not self._shore.turn_back(quay.place, entries):
                self._load(quay, loads(entries, quay.lane.most_bytes))
            with quay.lock:
                again = quay.lane.written()

    def _load(self, quay: _Quay, made: Sequence[Load]) -> None:
        with quay.lock:
            quay.lane.begins(len(made))
        for load in made:
            told = _Voyage(self, quay, load)
            self._shore.write(quay.place, load.message, told, once=load.entries[0].once)

    def _give_up(self, quay: _Quay, entries: Sequence[Entry]) -> None:
        error = Unreachable(
            f"not sent to {quay.place.topic}: what was sent before it took longer than "
            f"{self._patience} s"
        )
        for entry in entries:
            tell(entry.on_sent, error)

    def _landed(self, quay: _Quay, load: Load, outcome: Receipt | TransportError) -> None:
        """Let the next ones go, and tell the senders of a record what became of it."""
        refused = isinstance(outcome, MessageTooLarge | MessageRefused)
        alone = len(load.entries) == 1
        if refused and not alone:
            # One of them may be guilty, or it is a topic that takes less: each for itself, then.
            if isinstance(outcome, MessageTooLarge):
                with quay.lock:
                    quay.lane.too_large()
            self._load(quay, singles(load.entries))
        with quay.lock:
            depart = quay.lane.landed()
        if depart:
            self._depart(quay)
        if alone:
            tell(load.entries[0].on_sent, outcome)
        elif not refused:
            for part, entry in enumerate(load.entries):
                tell(entry.on_sent, _of_part(outcome, part))


class _Voyage:
    """What a record's writer tells."""

    __slots__ = ("_load", "_outbox", "_quay")

    def __init__(self, outbox: Outbox, quay: _Quay, load: Load) -> None:
        self._outbox, self._quay, self._load = outbox, quay, load

    def __call__(self, outcome: Receipt | TransportError) -> None:
        self._outbox._landed(self._quay, self._load, outcome)  # noqa: SLF001 - of this module


def _of_part(outcome: Receipt | TransportError, part: int) -> Receipt | TransportError:
    if isinstance(outcome, Receipt):
        topic, partition, offset, _ = outcome
        return Receipt(topic, partition, offset, part)
    return outcome
