"""The table of calls that wait for a reply: registered before the send, ended exactly once.

    PENDING ──reply──> COMPLETED        whatever comes after the end is LATE: a counter
       ├──send failed──> FAILED
       ├──deadline─────> EXPIRED
       ├──caller───────> CANCELLED
       └──channel──────> CLOSED

Pure: no clock, lock or thread. The channel holds one lock around each method, and resolves what
they return after letting it go.
"""

import enum
from collections.abc import Iterator
from typing import Generic, TypeVar

from rpc.deadline import Deadlines

__all__ = ["CallState", "PendingCalls"]

C = TypeVar("C")


class CallState(enum.Enum):
    """How a call stands, or how it ended."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    CLOSED = "closed"


class PendingCalls(Generic[C]):
    """Calls by id, each with its deadline; bounded in number, and in bytes of their arguments."""

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
        self._sizes: dict[bytes, int] = {}
        self._deadlines: Deadlines[bytes] = Deadlines()
        self.closed = False
        """Whether the channel is closed: nothing is registered any more."""

    def __len__(self) -> int:
        return len(self._calls)

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

    def register(self, call_id: bytes, call: C, deadline: float, size: int = 0) -> None:
        """Add a pending call with `size` bytes of arguments, for which `full` tells of room.

        Raises `ValueError` for an id that is pending already.
        """
        if call_id in self._calls:
            raise ValueError(f"call {call_id.hex()} is pending already")
        self._calls[call_id] = call
        self._sizes[call_id] = size
        self.bytes += size
        self._deadlines.add(call_id, deadline)

    def __iter__(self) -> Iterator[C]:
        return iter(self._calls.values())

    def get(self, call_id: bytes) -> C | None:
        """Return the pending call of this id, leaving it there."""
        return self._calls.get(call_id)

    def take(self, call_id: bytes) -> C | None:
        """End the call of this id: return it to whoever asked first, None to the others."""
        call = self._calls.pop(call_id, None)
        if call is not None:
            self._deadlines.remove(call_id)
            self.bytes -= self._sizes.pop(call_id)
        return call

    def next_deadline(self) -> float | None:
        """Return when `expire` will next have something to do."""
        return self._deadlines.next_deadline()

    def expire(self, now: float) -> list[C]:
        """End and return every call whose deadline is at or before `now`."""
        expired = self._deadlines.expire(now)
        self.bytes -= sum(self._sizes.pop(call_id) for call_id in expired)
        return [self._calls.pop(call_id) for call_id in expired]

    def drain(self) -> list[C]:
        """End and return every call that is left."""
        calls = list(self._calls.values())
        self._calls.clear()
        self._sizes.clear()
        self.bytes = 0
        self._deadlines = Deadlines()
        return calls
