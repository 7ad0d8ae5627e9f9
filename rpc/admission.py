"""Whether a request is run: by its time, by the load, and by what is known of its call id.

                   ┌──────────────> EXPIRED    nobody waits: answered, not started
    RECEIVED ──────┼──────────────> SHED       too much to do: answered, not started
                   ├──────────────> DUPLICATE  runs already, or has run: joined, or answered again
                   └──> RUNNING ──> REPLIED

A request may come twice: the transport delivers at least once, and clients retry under the same
call id. As long as the id is remembered its handler does not run again *in this process*; replies
are remembered up to a count and a size, oldest forgotten first. Pure.
"""

import enum
from collections import OrderedDict
from typing import Any, Generic, NamedTuple, TypeVar

from transports.base import Message

__all__ = ["Admission", "Admitted", "CallKey", "Verdict"]

J = TypeVar("J")

CallKey = tuple[str | None, bytes]
"""Client instance and call id: one client can't claim another's call."""


class Verdict(enum.Enum):
    """What is to be done with a request."""

    RUN = "run"
    JOIN = "join"
    REPEAT = "repeat"
    EXPIRED = "expired"
    SHED = "shed"


class Admitted(NamedTuple, Generic[J]):
    """A verdict, with the job that runs already (JOIN) or the reply to repeat (REPEAT)."""

    verdict: Verdict
    running: J | None = None
    reply: Message | None = None


_RUN: Admitted[Any] = Admitted(Verdict.RUN)
_EXPIRED: Admitted[Any] = Admitted(Verdict.EXPIRED)
_SHED: Admitted[Any] = Admitted(Verdict.SHED)


class Admission(Generic[J]):
    """The requests of one server: what runs, and what has been answered lately."""

    def __init__(self, *, limit: int, remembered: int, remembered_bytes: int) -> None:
        self.limit = limit
        """Requests running or waiting for a worker; beyond it the verdict is SHED."""
        self._remembered = remembered
        self._remembered_bytes = remembered_bytes
        self._running: dict[CallKey, J] = {}
        self._replies: OrderedDict[CallKey, Message] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._running)

    @property
    def full(self) -> bool:
        """Whether there is no room for another request."""
        return len(self._running) >= self.limit

    def admit(self, key: CallKey, job: J, remaining: float) -> Admitted[J]:
        """Decide on a request with `remaining` seconds left; on RUN, `job` counts as running."""
        reply = self._replies.get(key)
        if reply is not None:
            return Admitted(Verdict.REPEAT, reply=reply)
        running = self._running.get(key)
        if running is not None:
            return Admitted(Verdict.JOIN, running=running)
        if remaining <= 0:
            return _EXPIRED
        if self.full:
            return _SHED
        self._running[key] = job
        return _RUN

    def running(self, key: CallKey) -> J | None:
        """Return the job of this call, None when it does not run."""
        return self._running.get(key)

    def finish(self, key: CallKey, reply: Message, *, remember: bool) -> None:
        """Note that the call has been answered with `reply`. A second call changes nothing.

        `remember` is False for an answer that invites to try again: the next try shall run.
        """
        if self._running.pop(key, None) is None or not remember:
            return
        size = _size(reply)
        if size > self._remembered_bytes:
            return
        self._replies[key] = reply
        self._bytes += size
        while len(self._replies) > self._remembered or self._bytes > self._remembered_bytes:
            _, forgotten = self._replies.popitem(last=False)
            self._bytes -= _size(forgotten)

    def abandon(self, key: CallKey) -> None:
        """Forget a running call that will not be answered: it may run again elsewhere."""
        self._running.pop(key, None)


def _size(reply: Message) -> int:
    """Return the bytes of `reply` that a caller can make many: the key is echoed."""
    return len(reply.body) + len(reply.key or b"")
