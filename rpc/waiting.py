"""Calls that wait for room in a channel that is full: first come, first sent, each in its time.

Pure: no clock, lock or thread. The channel's lock guards it.
"""

from typing import Generic, TypeVar

from rpc.deadline import Deadlines

__all__ = ["WaitingRoom"]

C = TypeVar("C")


class WaitingRoom(Generic[C]):
    """Calls by id, in the order they came. It is true while somebody waits."""

    def __init__(self) -> None:
        self.calls: dict[bytes, C] = {}
        """Those that wait; changed here alone."""
        self._deadlines: Deadlines[bytes] = Deadlines()

    def __len__(self) -> int:
        return len(self.calls)

    def add(self, call_id: bytes, call: C, deadline: float) -> None:
        """Let `call` wait at the end of the queue."""
        self.calls[call_id] = call
        self._deadlines.add(call_id, deadline)

    def first(self) -> C | None:
        """Return the call that has waited longest, leaving it there."""
        return next(iter(self.calls.values()), None)

    def take(self, call_id: bytes) -> C | None:
        """End the wait of this call; None if it does not wait (any more)."""
        self._deadlines.remove(call_id)
        return self.calls.pop(call_id, None)

    def next_deadline(self) -> float | None:
        """Return when `expire` will next have something to do."""
        return self._deadlines.next_deadline()

    def expire(self, now: float) -> list[C]:
        """Remove and return the calls whose deadline is at or before `now`."""
        return [self.calls.pop(call_id) for call_id in self._deadlines.expire(now)]

    def drain(self) -> list[C]:
        """Remove and return every call that is left."""
        calls = list(self.calls.values())
        self.calls.clear()
        self._deadlines = Deadlines()
        return calls
