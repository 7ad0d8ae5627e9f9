"""Messages whose batch was refused are sent again one by one, to tell the guilty from the others.

librdkafka puts into one batch whatever waits for a partition. So what comes for it meanwhile stays
here, until all that was refused has been tried. Pure; its owner's lock guards it.
"""

from collections import deque
from typing import NamedTuple

from transports.base import Address, Message, OnSent
from transports.errors import SendUncertain, TransportError, Unreachable

__all__ = ["Apart", "Put"]

_MOST = 10_000  # messages that wait for one partition


class Put(NamedTuple):
    """A message that is handed to librdkafka, and when."""

    place: Address
    message: Message
    on_sent: OnSent
    since: float
    began: float
    """When librdkafka got it, the last time."""
    once: bool = False
    alone: bool = False
    """Whether it is sent by itself, since a batch with it was refused."""
    doubtful: bool = False
    """Whether that batch may have been appended in an attempt before."""

    def unsent(self, error: TransportError) -> TransportError:
        """Return what is told of it where it is not handed over (again), for `error`."""
        if self.doubtful:
            return SendUncertain(f"sent, and refused with others; not sent again: {error}")
        return error


class Apart:
    """What is tried one by one, and what waits behind it, by partition. True while there is any."""

    def __init__(self) -> None:
        self._refused: dict[Address, deque[Put]] = {}
        self._behind: dict[Address, deque[Put]] = {}

    def __len__(self) -> int:
        return len(self._refused)

    def __contains__(self, place: Address) -> bool:
        return place in self._refused

    def refuse(self, put: Put) -> None:
        """Have `put` tried by itself; what comes for its partition waits from now on."""
        self._refused.setdefault(put.place, deque()).append(put)
        self._behind.setdefault(put.place, deque())

    def add(self, put: Put) -> None:
        """Let `put` wait behind what was refused there. Raises `Unreachable` for too many."""
        behind = self._behind[put.place]
        if len(behind) >= _MOST:
            raise Unreachable(f"{_MOST} messages wait already to be sent to {put.place.topic}")
        behind.append(put)

    def next(self, place: Address) -> list[Put]:
        """Return what is sent now that nothing is under way there: one, or at last all behind."""
        refused = self._refused[place]
        if refused:
            return [refused.popleft()]
        del self._refused[place]
        return list(self._behind.pop(place))

    def drain(self) -> list[Put]:
        """Remove and return all."""
        left = [put for queue in (*self._refused.values(), *self._behind.values()) for put in queue]
        self._refused.clear()
        self._behind.clear()
        return left
