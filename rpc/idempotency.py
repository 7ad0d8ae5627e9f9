"""Replies that are kept, so that work which is asked for again is answered and not done again.

A store knows of each piece of work - a method, and the idempotency key or the call id - whether it
runs, and what its reply was. `MemoryStore` forgets with the process; `rpc.idempotency_sqlite` does
not. The table is pure, the store around it adds the lock and the clock.
"""

import threading
from collections import OrderedDict
from typing import NamedTuple, Protocol

from rpc.clock import Clock, monotonic

__all__ = [
    "Begun",
    "Found",
    "IdempotencyStore",
    "MemoryStore",
    "Mismatch",
    "Running",
    "StoredReply",
    "Work",
    "WorkTable",
]

Work = tuple[str, bytes]
"""What is to be done once: the method's full name, and what names the work."""


class StoredReply(NamedTuple):
    """A reply as it goes to everybody who asks for the same work."""

    code: str | None
    """None for success."""
    content_type: str
    body: bytes


class Begun(NamedTuple):
    """The work is yours until the lease runs out; `fence` is higher than that of any before."""

    fence: int


class Running(NamedTuple):
    """Somebody else is at it."""


class Mismatch(NamedTuple):
    """The same name was used for other arguments."""


Found = Begun | Running | Mismatch | StoredReply


class IdempotencyStore(Protocol):
    """What a server asks and tells about work that shall be done once. Any thread."""

    @property
    def blocking(self) -> bool:
        """Whether its calls may wait, so that they are not made on an event loop."""
        ...

    def begin(self, work: Work, fingerprint: bytes, lease: float) -> Found:
        """Take `work` for `lease` seconds, or tell who has it or what came of it.

        `fingerprint` stands for the arguments. Work whose lease has run out is taken over.
        """
        ...

    def finish(self, work: Work, fence: int, reply: StoredReply) -> StoredReply | None:
        """Keep `reply`; return the one that is kept, which may be an earlier one.

        None where the lease was lost to another, who will say what came of it.
        """
        ...

    def abandon(self, work: Work, fence: int) -> StoredReply | None:
        """Let whoever asks next do the work. After a lost lease it does nothing.

        Nor where a reply is kept already, by the handler's own transaction: that is returned.
        """
        ...


class _Row:
    __slots__ = ("expires", "fence", "fingerprint", "reply")

    def __init__(self, fingerprint: bytes, fence: int, expires: float) -> None:
        self.fingerprint = fingerprint
        self.fence = fence
        self.expires = expires
        """When the lease ends, or the reply is forgotten."""
        self.reply: StoredReply | None = None


class WorkTable:
    """Work by name, bounded by count, bytes and age. Every moment is an argument."""

    def __init__(self, *, window: float, entries: int, size: int) -> None:
        self._window = window
        self._entries = entries
        self._size = size
        self._running: dict[Work, _Row] = {}
        self._done: OrderedDict[Work, _Row] = OrderedDict()
        self._bytes = 0
        self._fence = 0
        self.forgotten = 0
        """Replies forgotten for lack of room, before their time."""

    def __len__(self) -> int:
        return len(self._running) + len(self._done)

    def begin(self, work: Work, fingerprint: bytes, lease: float, now: float) -> Found:
        """See `IdempotencyStore.begin`."""
        self._expire(now)
        row = self._done.get(work) or self._running.get(work)
        if row is not None and row.fingerprint != fingerprint:
            return Mismatch()
        if row is not None and row.reply is not None:
            return row.reply
        if row is not None and row.expires > now:
            return Running()
        self._fence += 1
        self._running[work] = _Row(fingerprint, self._fence, now + lease)
        return Begun(self._fence)

    def finish(self, work: Work, fence: int, reply: StoredReply, now: float) -> StoredReply | None:
        """See `IdempotencyStore.finish`."""
        row = self._running.get(work)
        if row is None or row.fence != fence:
            return None
        del self._running[work]
        row.reply, row.expires = reply, now + self._window
        self._done[work] = row
        self._bytes += _size(work, row)
        while len(self._done) > self._entries or self._bytes > self._size:
            self._forget_oldest()
            self.forgotten += 1
        return reply

    def abandon(self, work: Work, fence: int) -> None:
        """See `IdempotencyStore.abandon`."""
        row = self._running.get(work)
        if row is not None and row.fence == fence:
            del self._running[work]

    def _expire(self, now: float) -> None:
        while self._done and next(iter(self._done.values())).expires <= now:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        work, row = self._done.popitem(last=False)
        self._bytes -= _size(work, row)


def _size(work: Work, row: _Row) -> int:
    return len(work[1]) + (0 if row.reply is None else len(row.reply.body))


class MemoryStore:
    """Replies kept by this process, for `window` seconds; a restart forgets them all.

    Bounded by `entries` replies of `size` bytes together; beyond, the oldest are forgotten, and
    counted in `forgotten`.
    """

    def __init__(
        self,
        *,
        window: float = 600.0,
        entries: int = 100_000,
        size: int = 64 << 20,
        clock: Clock = monotonic,
    ) -> None:
        self._table = WorkTable(window=window, entries=entries, size=size)
        self._lock = threading.Lock()
        self._clock = clock

    @property
    def blocking(self) -> bool:
        """Whether its calls may wait: they do not."""
        return False

    @property
    def forgotten(self) -> int:
        """Replies forgotten for lack of room, before their time."""
        return self._table.forgotten

    def begin(self, work: Work, fingerprint: bytes, lease: float) -> Found:
        """Take `work`, or tell what came of it."""
        with self._lock:
            return self._table.begin(work, fingerprint, lease, self._clock())

    def finish(self, work: Work, fence: int, reply: StoredReply) -> StoredReply | None:
        """Keep `reply`."""
        with self._lock:
            return self._table.finish(work, fence, reply, self._clock())

    def abandon(self, work: Work, fence: int) -> None:
        """Let whoever asks next do the work."""
        with self._lock:
            self._table.abandon(work, fence)
