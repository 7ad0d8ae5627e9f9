"""One life of a group member: its thread connects, joins, and then only polls.

Work between polls would cost joins; so what a poll brings is handed to the receiver, which owns
everything else. A session that no longer gets anywhere is left behind, and another one begun.

Owners: the session's thread owns the consumer; what is told about it is written by that thread or
by a thread of the driver, one attribute each.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from transports import failpoints
from transports.errors import AddressUnknown, NotAuthorized, TransportError
from transports.kafka.clients import LostMembership, Member, NoteTooLong, UnreadableBatch
from transports.kafka.commits import Round
from transports.kafka.config import KafkaConfig
from transports.kafka.drivers import driver
from transports.kafka.ledger import LIMIT, Claim, Note, Offer, claim, write
from transports.kafka.records import Record
from transports.kafka.unreadable import Strikes
from transports.log import get_logger

__all__ = ["Session", "SessionOwner"]

_log = get_logger(__name__)
_PAUSE, _BACKOFF = 0.1, 1.0
_LEASE = 0.9
"""For how much of the session timeout after a sign of life nobody else can have our partitions."""


class SessionOwner(Protocol):
    """Whom a session tells. From its thread or the loop: nothing may block."""

    def arrived(self, session: "Session", polled: Sequence[tuple[int, list[Record]]]) -> None: ...
    def failed(self, session: "Session", error: TransportError) -> None: ...
    def assigned(
        self, session: "Session", claims: Mapping[int, Claim], topic_id: object
    ) -> None: ...
    def revoking(self, session: "Session") -> None: ...
    def drained(self, session: "Session") -> bool: ...
    def committable(self, session: "Session", *, final: bool) -> Round: ...
    def committed(self, session: "Session", round_: Round) -> None: ...
    def not_committed(self, session: "Session", round_: Round, *, lost: bool) -> None: ...
    def released(self, session: "Session") -> None: ...


class Session:
    """A member from its connection to its end."""

    def __init__(self, config: KafkaConfig, topic: str, group: str, owner: SessionOwner) -> None:
        self._config = config
        self._topic = topic
        self._group = group
        self._owner = owner
        self._stopped = threading.Event()
        self._strikes = Strikes()
        self._gone_since: float | None = None
        self.member: Member | None = None
        """The consumer, once it is connected."""
        self.polled_at = time.monotonic()
        """When the last poll began."""
        self.joining_since: float | None = time.monotonic()
        """Since when there is no assignment; None while there is one."""
        self.note_limit = LIMIT
        """Characters that the broker takes beside an offset."""
        self._thread = threading.Thread(
            target=self._run, name=f"rpc-kafka-poll-{config.client_id}-{topic}", daemon=True
        )

    def leased(self) -> bool:
        """Whether the broker can't have given our partitions to others, by the monotonic clock.

        Time goes on for a process that is stopped: when it wakes it has no lease, until the broker
        has answered it again.
        """
        member = self.member
        if member is None:
            return False
        return time.monotonic() < member.renewed_at + _LEASE * self._config.session_timeout

    def start(self) -> None:
        """Begin to connect and to poll."""
        self._thread.start()

    def stuck(self, now: float, patience: float) -> str | None:
        """Say what has taken longer than `patience` seconds and should not."""
        poll = self._config.poll_timeout + self._config.revoke_timeout
        if now - self.polled_at > patience + poll:
            return "poll does not return"
        if self.joining_since is not None and now - self.joining_since > patience:
            return "no assignment"
        return None

    def stop(self, timeout: float) -> None:
        """Leave the group and end the thread, within `timeout` seconds or a little more."""
        deadline = time.monotonic() + timeout
        self._stopped.set()
        if self.member is not None:
            self.member.shut(timeout)
        if threading.current_thread() is not self._thread and self._thread.ident is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))

    def abandon(self) -> None:
        """Stop without waiting for anything."""
        self._stopped.set()
        if self.member is not None:
            name = f"rpc-kafka-abandon-{self._config.client_id}-{self._topic}"
            threading.Thread(target=self.member.shut, args=(0.0,), name=name, daemon=True).start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                member = self._join()
                break
            except TransportError as error:
                self._owner.failed(self, error)
                self._stopped.wait(_BACKOFF)
        else:
            return
        if self._stopped.is_set():
            member.shut(0.0)
        while not self._stopped.is_set():
            self.polled_at = time.monotonic()
            self._poll(member)

    def _join(self) -> Member:
        config = self._config
        member = driver(config).open_member(
            config, self._topic, self._group, self, self._stopped.is_set
        )
        self.member = member
        return member

    def _poll(self, member: Member) -> None:
        try:
            polled = member.next_records(self._config.poll_timeout)
            if polled:
                if failpoints.on:
                    failpoints.hit("group.fetched")
                self._owner.arrived(self, polled)
            else:
                self._check_topic(member)
        except UnreadableBatch as unreadable:
            self._stumble(member, unreadable)
        except (NotAuthorized, AddressUnknown) as error:
            self._tell(error)
        except Exception as error:
            # A close from another thread pulls all kinds of things away from under a poll.
            if not self._stopped.is_set():
                _log.warning("kafka.poll_failed", topic=self._topic, why=repr(error))
            self._stopped.wait(_PAUSE)

    def _tell(self, error: TransportError) -> None:
        self._owner.failed(self, error)
        self._stopped.wait(_BACKOFF)

    def _stumble(self, member: Member, unreadable: UnreadableBatch) -> None:
        """Try again, and in the end step over what can't be read."""
        if self._strikes.out(unreadable.partition, unreadable.offset):
            _log.error("kafka.batch_skipped", why=str(unreadable), to=unreadable.following)
            member.step_over(unreadable.partition, unreadable.following)
        else:
            self._stopped.wait(_PAUSE)

    def _check_topic(self, member: Member) -> None:
        """Raise `AddressUnknown` when the topic has been gone for a while."""
        if member.partitions():
            self._gone_since = None
            return
        now = time.monotonic()
        self._gone_since = self._gone_since or now
        if now - self._gone_since >= self._config.address_timeout:
            raise AddressUnknown(f"topic {self._topic} was deleted while it is served; create it")

    # From the driver's thread

    def claim(self, offers: Mapping[int, Offer]) -> Mapping[int, Claim]:
        """Take over what predecessors left."""
        return {partition: claim(offer) for partition, offer in offers.items()}

    def text(self, note: Note) -> str:
        """Write a note as long as the broker takes it."""
        return write(note, self.note_limit)[0]

    def assigned(self, claims: Mapping[int, Claim], topic_id: object) -> None:
        """Pass on what is ours now."""
        self.joining_since = None
        _log.info("kafka.assigned", topic=self._topic, partitions=sorted(claims))
        self._owner.assigned(self, claims, topic_id)

    def revoking(self, partitions: frozenset[int]) -> None:
        """Pass on that a rebalance has begun."""
        if failpoints.on:
            failpoints.hit("group.revoking")
        self.joining_since = time.monotonic()
        if partitions:
            _log.info("kafka.revoking", topic=self._topic, partitions=sorted(partitions))
        self._owner.revoking(self)

    def drained(self) -> bool:
        """Whether the rebalance need not wait for what is in flight."""
        return self._owner.drained(self)

    def committable(self, *, final: bool) -> Round:
        """Return what is to be committed, at last where partitions are given up."""
        return self._owner.committable(self, final=final)

    def committed(self, round_: Round) -> None:
        """Pass on that it is."""
        self._owner.committed(self, round_)

    def not_committed(self, round_: Round, error: Exception) -> bool:
        """Pass on that it may not be; tell whether to try again."""
        self._shorten(error)
        lost = isinstance(error, LostMembership)
        self._owner.not_committed(self, round_, lost=lost)
        return not lost

    def not_taken(self, error: Exception) -> None:
        """See whether the next attempt must say less."""
        self._shorten(error)

    def _shorten(self, error: Exception) -> None:
        if isinstance(error, NoteTooLong):
            self.note_limit //= 2
            _log.warning(
                "kafka.notes_shortened",
                topic=self._topic,
                to=self.note_limit,
                why="the broker's offset.metadata.max.bytes is smaller than its default of 4096; "
                "after a crash more is delivered again",
            )

    def gave_up(self) -> None:
        """Pass on that nothing is ours."""
        self.joining_since = self.joining_since or time.monotonic()
        self._owner.released(self)
