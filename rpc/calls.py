"""The table of calls that wait for a reply: registered before the send, ended exactly once.

    PENDING ──reply──> COMPLETED        whatever comes after the end is LATE: a counter
       ├──send failed──> FAILED
       ├──deadline─────> EXPIRED
       ├──caller───────> CANCELLED
       └──channel──────> CLOSED

Pure: no clock, lock or thread. The channel holds one lock around each step, and resolves what
they return after letting it go.
"""

import enum
import heapq
import math
import sys
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

__all__ = ["CallState", "Pending", "PendingCalls"]


class CallState(enum.Enum):
    """How a call stands, or how it ended."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CLOSED = "closed"


class Pending(Protocol):
    """What the table needs of a call."""

    @property
    def call_id(self) -> bytes:
        """Its id."""
        ...

    @property
    def body(self) -> bytes:
        """Its encoded arguments, which do not change while it is pending."""
        ...

    due: float
    """When it is to be looked at next: its deadline, or another attempt before."""


C = TypeVar("C", bound=Pending)

_FEW = 64  # entries that are not worth a look


class PendingCalls(Generic[C]):
    """Calls by id, each with one moment at which it is due; bounded in number and in bytes.

    The moment is kept with the call: what has ended, or was moved, leaves its entry in the heap
    until that surfaces or such entries outnumber the others. Most calls end long before.
    """

    def __init__(self, limit: int, max_bytes: int = 2**63) -> None:
        self.limit = limit
        self.max_bytes = max_bytes
        self.late = 0
        """Replies that came after their call had ended, or twice."""
        self.foreign = 0
        """Replies for another instance, another method, or that are no replies at all."""
        self.bytes = 0
        """Encoded arguments of all calls that are there."""
        self._calls: dict[bytes, C] = {}
        self._heap: list[tuple[float, bytes]] = []
        self._prune_at = _FEW
        self.closed = False
        """Whether the channel is closed: nothing is registered any more."""
        self.get = self._calls.get
        """Return the pending call of this id, leaving it there; None: there is none."""

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[C]:
        return iter(self._calls.values())

    def full(self, size: int) -> str | None:
        """Tell what leaves no room for a call with `size` bytes of arguments; None: nothing.

        Where no call is pending there is room for one, however large.
        """
        if len(self._calls) >= self.limit:
            return f"{self.limit} calls of this channel are pending already (max_pending)"
        if self.bytes + size > self.max_bytes and self._calls:
            return (
                f"{self.bytes} bytes of arguments are pending in this channel already, of "
                f"{self.max_bytes} (max_pending_bytes), and {size} are too many"
            )
        return None

    def register(self, call: C) -> None:
        """Add a pending call, for which `full` tells of room; it is looked at when it is `due`.

        Raises `ValueError` for an id that is pending already.
        """
        call_id = call.call_id
        if call_id in self._calls:
            raise ValueError(f"call {call_id.hex()} is pending already")
        self._calls[call_id] = call
        self.bytes += len(call.body)
        heapq.heappush(self._heap, (call.due, call_id))
        if len(self._heap) > self._prune_at:
            self._prune()

    def move(self, call: C, due: float) -> None:
        """Look at a pending call at this moment instead."""
        if due != call.due:
            call.due = due
            heapq.heappush(self._heap, (due, call.call_id))

    def take(self, call_id: bytes) -> C | None:
        """End the call of this id: return it to whoever asked first, None to the others."""
        call = self._calls.pop(call_id, None)
        if call is not None:
            self.bytes -= len(call.body)
        return call

    def next_due(self) -> float | None:
        """Return when `due` will next have something to tell."""
        heap = self._heap
        while heap:
            due, call_id = heap[0]
            call = self._calls.get(call_id)
            if call is not None and call.due == due:
                return due
            heapq.heappop(heap)
        return None

    def due(self, now: float, most: int = sys.maxsize) -> list[C]:
        """Return up to `most` calls whose moment has come, earliest first.

        They stay pending, and are told no more until they are moved.
        """
        found: list[C] = []
        while len(found) < most and (at := self.next_due()) is not None and at <= now:
            call = self._calls[heapq.heappop(self._heap)[1]]
            call.due = math.inf
            found.append(call)
        return found

    def drain(self) -> list[C]:
        """End and return every call that is left."""
        calls = list(self._calls.values())
        self._calls.clear()
        self._heap.clear()
        self.bytes = 0
        return calls

    def _prune(self) -> None:
        self._heap = [(call.due, call_id) for call_id, call in self._calls.items()]
        heapq.heapify(self._heap)
        self._prune_at = max(_FEW, 2 * len(self._heap))
