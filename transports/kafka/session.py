"""One life of a group member: its thread connects, joins, and polls while nobody else does.

Whoever waits for records had better poll by itself, so that no hand-over between threads stands
between a record and its handler. But a member that is not polled loses its partitions, whatever
its owner is busy with: so the session's thread stands by. What a poll brings goes to the receiver,
which owns everything else. A session that gets nowhere is left behind, and another one begun.

Owners: the consumer is owned by who has the turn; what is told about it is written by that thread
or by a thread of the driver, one attribute each.
"""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from transports import failpoints
from transports.errors import AddressUnknown, ConfigurationError, NotAuthorized, TransportError
from transports.kafka.clients import LostMembership, Member, NoteTooLong, UnreadableBatch
from transports.kafka.commits import Round
from transports.kafka.config import KafkaConfig
from transports.kafka.drivers import driver, open_failure
from transports.kafka.ledger import LIMIT, Claim, Note, Offer, claim, write
from transports.kafka.records import Record
from transports.kafka.unreadable import Strikes
from transports.log import get_logger

__all__ = ["Session", "SessionCommits", "SessionOwner"]

_log = get_logger(__name__)
_PAUSE, _BACKOFF = 0.1, 1.0
_STANDBY = 0.2
"""How long nobody may have asked for the turn, until the session's thread takes it."""
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
    def released(self, session: "Session") -> None: ...
    def turn_is_free(self, session: "Session") -> None: ...
    def watch(self, session: "Session") -> None: ...


class SessionCommits(Protocol):
    """What a session commits, and whom it tells of that. Likewise."""

    def committable(self, session: "Session", *, final: bool) -> Round: ...
    def committed(self, session: "Session", round_: Round) -> None: ...
    def not_committed(self, session: "Session", round_: Round, *, lost: bool) -> None: ...


class Session:
    """A member from its connection to its end."""

    def __init__(
        self,
        config: KafkaConfig,
        topic: str,
        group: str,
        owner: SessionOwner,
        commits: SessionCommits,
    ) -> None:
        self._config = config
        self._topic = topic
        self._group = group
        self._owner = owner
        self._commits = commits
        self._stopped = threading.Event()
        self._strikes = Strikes()
        self._gone_since: float | None = None
        self._turn = threading.Lock()
        """Held by the thread that polls."""
        self._asked_at = -math.inf
        self._rests_until = -math.inf
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

    def take_turn(self) -> bool:
        """Tell whether the calling thread is the one to `poll` now, which it has to do then."""
        self._asked_at = time.monotonic()
        if self.member is None or self._asked_at < self._rests_until:
            return False
        return self._turn.acquire(blocking=False)

    def poll(self, max_wait: float) -> None:
        """Poll, by who has the turn, for at most `max_wait` seconds or `poll_timeout`.

        It takes longer in a rebalance.
        """
        try:
            self.polled_at = time.monotonic()
            if self.member is not None and not self._stopped.is_set():
                self._poll(self.member, min(max_wait, self._config.poll_timeout))
        finally:
            self._turn.release()

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
            except Exception as error:
                self._owner.failed(self, open_failure(error))
                self._stopped.wait(_BACKOFF)
        else:
            return
        if self._stopped.is_set():
            member.shut(0.0)
        while not self._stopped.is_set():
            self._stand_by()

    def _stand_by(self) -> None:
        """Poll where nobody else does, or see a moment later."""
        now = time.monotonic()
        if now < self._rests_until:
            self._stopped.wait(self._rests_until - now)
        elif now < self._asked_at + _STANDBY or not self._turn.acquire(blocking=False):
            self._owner.watch(self)
            self._stopped.wait(_STANDBY)
        else:
            self.poll(self._config.poll_timeout)
            self._owner.turn_is_free(self)

    def _join(self) -> Member:
        config = self._config
        member = driver(config).open_member(
            config, self._topic, self._group, self, self._stopped.is_set
        )
        self.member = member
        return member

    def _poll(self, member: Member, max_wait: float) -> None:
        try:
            polled = member.next_records(max_wait)
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
            self._rest(_PAUSE)

    def _rest(self, seconds: float) -> None:
        self._rests_until = time.monotonic() + seconds

    def _tell(self, error: TransportError) -> None:
        self._owner.failed(self, error)
        self._rest(_BACKOFF)

    def _stumble(self, member: Member, unreadable: UnreadableBatch) -> None:
        """Try again, and in the end step over what can't be read."""
        if isinstance(unreadable.__cause__, ConfigurationError):  # whole: others can read it
            self._tell(ConfigurationError(str(unreadable)))
        elif self._strikes.out(unreadable.partition, unreadable.offset):
            _log.error("kafka.batch_skipped", why=str(unreadable), to=unreadable.following)
            member.step_over(unreadable.partition, unreadable.following)
        else:
            self._rest(_PAUSE)

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
        return self._commits.committable(self, final=final)

    def committed(self, round_: Round) -> None:
        """Pass on that it is."""
        self._commits.committed(self, round_)

    def not_committed(self, round_: Round, error: Exception) -> bool:
        """Pass on that it may not be; tell whether to try again."""
        self._shorten(error)
        lost = isinstance(error, LostMembership)
        self._commits.not_committed(self, round_, lost=lost)
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
