"""A shared receiver: one member of the consumer group that serves a topic.

The thread that calls `receive` hands out and commits, and polls where there is nothing to hand out;
when it does not, the session's thread polls; any thread acknowledges. What is in flight or waits to
be handed out is bounded: at the bound the member pauses all its partitions, and is polled on.

Owners: all of the receiver's state is guarded by `_changed`, which is never held while calling
kafka-python's network code.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from transports.base import Address, Delivery
from transports.errors import TransportError
from transports.kafka.backlog import Backlog
from transports.kafka.commits import Told, tell
from transports.kafka.committer import Committer
from transports.kafka.config import KafkaConfig
from transports.kafka.custody import Share
from transports.kafka.fit_topics import FitTopics
from transports.kafka.fork import check_not_forked
from transports.kafka.handout import Handout, Source
from transports.kafka.ledger import Claim
from transports.kafka.offsets import Offsets
from transports.kafka.partition_log import PartitionLog
from transports.kafka.records import Record
from transports.kafka.session import Session
from transports.log import get_logger

__all__ = ["SharedReceiver"]

_log = get_logger(__name__)
_LAPSED = 0.05
"""How soon to look again whether the broker has answered, while it is in doubt what is ours."""


class SharedReceiver:
    """Receives a share of what is sent to a topic. See `Receiver`."""

    def __init__(self, config: KafkaConfig, topics: FitTopics, topic: str) -> None:
        topics.partitions(topic, "request", "READ", config.connect_timeout)
        self._pid = os.getpid()
        self._config = config
        self._topic = topic
        self._group = config.group_prefix + topic
        self._static = "group_instance_id" in config.driver
        self._changed = threading.Condition()
        self._offsets = Offsets()
        self._backlog: Backlog[Source] = Backlog.of(config)
        self._handout = Handout(self, topic, config, self._offsets, self._backlog)
        self._failure: TransportError | None = None
        self._closed = False
        self._paused = False
        self._revoking = False
        self._committer = Committer(self._changed, self._offsets)
        self._commit_at = 0.0
        self._session = self._begin()
        self._await_join()

    @property
    def address(self) -> Address:
        """The topic to send to."""
        return Address(self._topic)

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._closed

    def receive(self, max_wait: float) -> Sequence[Delivery]:
        """Return what has arrived; see `Receiver.receive`."""
        check_not_forked(self._pid)
        deadline = time.monotonic() + max_wait
        while True:
            polls = False
            with self._changed:
                if self._closed:
                    return ()
                self._raise_failure()
                session, deliveries = self._session, self._hand_out()
                left = min(deadline, self._commit_at) - time.monotonic()
                if not deliveries and left > 0:
                    # At a bound it is room that is waited for, and no record.
                    polls = not self._backlog and not self._paused and session.take_turn()
                    if not polls:
                        self._await(session, left)
            if polls:
                session.poll(left)
            if not deliveries:
                with self._changed:
                    deliveries = self._hand_out()
            now = time.monotonic()
            self._do_duties(now)
            if deliveries or now >= deadline:
                return deliveries

    def close(self, timeout: float) -> None:
        """Commit, leave the group, and stop, within `timeout` seconds; see `Receiver.close`."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._backlog.clear()
            self._changed.notify_all()
        self._session.stop(timeout)
        with self._changed:
            self._offsets.release()
            told = self._committer.close()
        tell(told)

    # From the session's thread, and the driver's loop

    def arrived(self, session: Session, polled: Sequence[tuple[int, list[Record]]]) -> None:
        """Queue what a poll brought; frames stay as they are until they are handed out."""
        with self._changed:
            if session is not self._session or self._closed or self._revoking:
                return
            for partition, records in polled:
                self._backlog.add(partition, records)
            if session.member is not None and self._load() >= 1.0:
                self._paused = True
                session.member.pause_all()
            self._changed.notify_all()

    def turn_is_free(self, session: Session) -> None:
        """Have who waits for records poll by itself."""
        with self._changed:
            if session is self._session:
                self._changed.notify_all()

    def watch(self, session: Session) -> None:
        """See whether a session gets anywhere; begin another where it does not."""
        trouble = session.stuck(time.monotonic(), self._config.join_timeout)
        if trouble is None:
            return
        with self._changed:
            if self._closed or session is not self._session:
                return
            _log.error("kafka.session_rebuilt", topic=self._topic, why=trouble)
            self._offsets.release()
            self._backlog.clear()
            self._revoking = False
            told = self._committer.abandon()
            self._session = self._begin()
        tell(told)
        session.abandon()

    def failed(self, session: Session, error: TransportError) -> None:
        """Keep what went wrong for whoever calls `receive`."""
        with self._changed:
            if session is self._session:
                self._failure = error
                self._changed.notify_all()

    def assigned(self, session: Session, claims: Mapping[int, Claim], topic_id: object) -> None:
        """Hold these partitions."""
        with self._changed:
            told: Told = []
            if session is self._session:
                self._revoking = False
                self._paused = False
                self._handout.assigned()
                self._offsets.assign(claims, topic_id)
                told = self._committer.assigned(session)
                self._changed.notify_all()
        tell(told)

    def revoking(self, session: Session) -> None:
        """Hand out nothing more of what is held."""
        with self._changed:
            if session is self._session:
                self._revoking = True
                self._backlog.clear()

    def drained(self, session: Session) -> bool:
        """Whether the rebalance need not wait for what is in flight."""
        with self._changed:
            return session is not self._session or self._closed or self._offsets.drained()

    def released(self, session: Session) -> None:
        """Hold nothing."""
        with self._changed:
            told: Told = []
            if session is self._session:
                self._backlog.clear()
                self._offsets.release()
                told = self._committer.lost()
        tell(told)

    # Under the lock

    def _await(self, session: Session, left: float) -> None:
        """Wait for something to hand out, or for the turn to poll, at most `left` seconds."""
        lapsed = self._backlog and not session.leased()
        self._changed.wait(min(left, _LAPSED) if lapsed else left)

    def _raise_failure(self) -> None:
        error, self._failure = self._failure, None
        if error is not None:
            raise error

    def _load(self) -> float:
        """How much of what may be here is here: 1.0 is the bound."""
        config, backlog, offsets = self._config, self._backlog, self._offsets
        count = (backlog.messages + offsets.in_flight) / max(1, config.max_unacked)
        size = (backlog.bytes + offsets.in_flight_bytes) / max(1, config.max_unacked_bytes)
        return max(count, size)

    def _hand_out(self) -> Sequence[Delivery]:
        """Take some of what is there, as far as the bound admits."""
        if not self._backlog or not self._session.leased():
            # What was fetched since others may have read the log's end would come to them unmarked.
            return ()
        return self._handout.take()

    # Without the lock

    def settle(self, log: PartitionLog, offset: int, part: int) -> bool:
        """Take a message out of flight; False if it is not, or is no longer ours to settle."""
        with self._changed:
            held = log.held
            if not log.settle(offset, part):
                return False
            full = self._paused or self._handout.starved
            member = self._session.member if self._revoking else None
            if full:
                self._changed.notify_all()
        if member is not None:
            member.settled()
        return held

    def give_back(self, log: PartitionLog, offset: int, part: int) -> bool:
        """Take a message of a lost partition out of flight unsettled; False if it is not lost."""
        with self._changed:
            given = log.give_back(offset, part)
            if given and (self._paused or self._handout.starved):
                self._changed.notify_all()
        return given

    def begin(self, log: PartitionLog, offset: int, part: int) -> None:
        """Note that work on a suspect begins."""
        with self._changed:
            log.begin(offset, part)

    def commit(self, log: PartitionLog, delivery: Delivery, then: Callable[[bool], object]) -> None:
        """See `Delivery.commit`."""
        self._committer.commit(log, delivery, then)

    def owns(self, share: Share) -> bool:
        """Whether a share's partition has been ours all the time, and certainly is.

        Never certain of a static member: another process may have come in its name (KIP-345), which
        it learns with its next heartbeat.
        """
        with self._changed:
            if not self._handout.lasts(share) or self._revoking or self._closed or self._static:
                return False
            return self._session.leased()

    def _do_duties(self, now: float) -> None:
        """Resume, commit, and see whether the session gets anywhere."""
        told: Told = []
        with self._changed:
            session, member = self._session, self._session.member
            if self._paused and member is not None and self._load() <= 0.5:
                self._paused = False
                member.resume_all()
            due = now >= self._commit_at and not self._closed
            if due:
                told = self._committer.due()
                self._commit_at = now + self._config.commit_interval
        tell(told)
        if due:
            self.watch(session)

    def _begin(self) -> Session:
        session = Session(self._config, self._topic, self._group, self, self._committer)
        session.start()
        return session

    def _await_join(self) -> None:
        """Wait for the first assignment, or for what stands in its way.

        Where others take long to let go of partitions, theirs come later, and nothing is lost.
        """
        with self._changed:
            settled = self._changed.wait_for(
                lambda: self._failure is not None or self._session.joining_since is None,
                self._config.connect_timeout,
            )
            error, self._failure = self._failure, None
        if not settled:
            _log.warning("kafka.join_takes_long", topic=self._topic, group=self._group)
        if error is not None:
            self.close(1.0)
            raise error
