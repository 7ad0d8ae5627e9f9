"""Commits for whoever waits: begun at once, one at a time, and told without holding a lock.

Owners: all state is guarded by the receiver's condition.
"""

import threading
from collections.abc import Callable

from transports.base import Delivery
from transports.kafka.commits import Commits, Round, Told, Waiter, tell
from transports.kafka.offsets import Offsets
from transports.kafka.partition_log import PartitionLog
from transports.kafka.session import Session

__all__ = ["Committer"]

_PAUSE = 0.1
"""How soon a commit that failed is tried again."""


class Committer:
    """Commits what one receiver settles, by the session that holds its partitions."""

    def __init__(self, changed: threading.Condition, offsets: Offsets) -> None:
        self._changed = changed
        self._offsets = offsets
        self._commits = Commits()
        self._session: Session | None = None
        self._spoken = False  # whether the last word on what is held has been taken
        self._closed = False

    def commit(self, log: PartitionLog, delivery: Delivery, then: Callable[[bool], object]) -> None:
        """See `Delivery.commit`."""
        offset, part = delivery.receipt.offset, delivery.receipt.part
        with self._changed:
            verdict = self._verdict(log, offset, part, acked=delivery.acked)
            if verdict is None:
                waiter = Waiter(log, offset, part, begun=log.begun(offset, part), then=then)
                self._begin(0.0, self._commits.add(waiter))
        if verdict is not None:
            then(verdict)

    def _verdict(self, log: PartitionLog, offset: int, part: int, *, acked: bool) -> bool | None:
        """Say what is known of a message's settling without a commit; None: that must tell."""
        if acked and offset < (log.committed or 0):
            return True
        if self._closed or not log.held or not (acked or log.in_flight(offset, part)):
            return False
        return None if acked or log.begun(offset, part) else True

    # On the driver's loop

    def committable(self, session: Session, *, final: bool) -> Round:
        """Return what to commit; after the last word, nothing but that."""
        with self._changed:
            if session is not self._session or (self._spoken and not final):
                return Round({}, [])
            if final:
                self._spoken = True
                return self._commits.begin(self._offsets.handover(session.note_limit))
            wanted = self._commits.wanted()
            return self._commits.begin(self._offsets.committable(wanted, session.note_limit))

    def committed(self, session: Session, round_: Round) -> None:
        """Tell those who waited for it."""
        with self._changed:
            if session is self._session:
                self._offsets.committed(round_.marks)
            told = self._commits.succeeded(round_)
            self._again(0.0)
        tell(told)

    def not_committed(self, session: Session, round_: Round, *, lost: bool) -> None:
        """Try again for those who wait, as long as the partitions are held."""
        del session  # a round knows whether it still counts
        with self._changed:
            told = self._commits.failed(round_, lost=lost)
            self._again(_PAUSE)
        tell(told)

    # Under the lock

    def assigned(self, session: Session) -> Told:
        """Commit by this session from now on; return whom to tell."""
        self._session = session
        self._spoken = False
        return self._commits.lost()

    def lost(self) -> Told:
        """Return whom to tell that their partition is not ours any more."""
        return self._commits.lost()

    def due(self) -> Told:
        """Commit what has changed; return whom to tell."""
        self._begin(0.0, self._commits.due(changed=self._offsets.changed))
        return self._commits.lost()

    def abandon(self) -> Told:
        """Expect nothing more of the session; return whom to tell."""
        self._session = None
        return self._commits.close()

    def close(self) -> Told:
        """Commit nothing more; return whom to tell."""
        self._closed = True
        return self._commits.close()

    def _again(self, delay: float) -> None:
        allowed = not (self._spoken or self._closed)
        self._begin(delay, self._commits.again(allowed=allowed))

    def _begin(self, delay: float, begin: bool) -> None:  # noqa: FBT001 - private, last of two
        if begin and self._session is not None and self._session.member is not None:
            self._session.member.begin_commit(delay)
