"""A member of a group on librdkafka: joins, takes over, commits, and gives up in order.

librdkafka tells no answer to a heartbeat. But the coordinator takes an accepted commit for one
(`OffsetMetadataManager`: commits maintain the session of a member), so that a commit renews what
heartbeats do elsewhere; where there is nothing to commit, the last one is said again.

A commit goes out as of the generation that the member is in by then. So that none speaks for
another than it was made in, nothing is given up while a commit is under way: `_committing`.

Owners: the thread that polls runs rebalances; the thread that commits makes all commits but the
first and the last of an assignment. `_committing` guards `_said` and `_assigned`.
"""

import math
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from transports import failpoints
from transports.kafka.clients import LostMembership, MemberEvents, Polled
from transports.kafka.commits import Round
from transports.kafka.config import KafkaConfig
from transports.kafka.ledger import Claim
from transports.kafka.librdkafka.consume import Consumer
from transports.kafka.librdkafka.errors import told_of
from transports.kafka.librdkafka.offers import offers_of
from transports.kafka.librdkafka.pace import Pace
from transports.log import get_logger

__all__ = ["Member"]

_log = get_logger(__name__)
_SILENCE = 30.0
"""How long the thread may not poll before the others go on without it."""
_ALIVE = 20.0
"""For how long after a poll a rebalance can't have ended without us."""
_FETCH = 5.0
_RETRY = 0.1
_COMMIT = 1.0
"""How long a last commit is tried where others wait for it."""
_RENEWALS = 4
"""How often in a session timeout a commit is made, at the least."""


class Member(Consumer):
    """Reads a topic as a member of a group. See `transports.kafka.clients.Member`."""

    def __init__(self, config: KafkaConfig, topic: str, group: str, events: MemberEvents) -> None:
        super().__init__(
            config,
            topic,
            {
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "range",
                "session.timeout.ms": int(config.session_timeout * 1000),
                "heartbeat.interval.ms": int(config.heartbeat_interval * 1000),
                "max.poll.interval.ms": int(max(_SILENCE, config.session_timeout) * 1000),
                "fetch.wait.max.ms": 100,
            },
            group,
        )
        self._events = events
        self._committing = threading.Lock()
        self._said: dict[int, tuple[int, str]] = {}
        self._assigned: tuple[int, ...] = ()
        self._turn = 0  # which assignment this is
        self._settled = threading.Event()
        self._renewed = -math.inf
        self._polled = -math.inf
        self._last_words = _COMMIT
        self._rejoin = False
        self._pace = Pace(config.session_timeout / _RENEWALS)
        self._committer = threading.Thread(
            target=self._run, name=f"rpc-kafka-commit-{config.client_id}-{topic}", daemon=True
        )

    def join(self, timeout: float, cancelled: Callable[[], bool]) -> None:
        """Subscribe; the polls that follow join the group. Raises a `TransportError`."""
        self.find_topic(timeout, cancelled)
        self._subscribe()
        self._committer.start()

    @property
    def renewed_at(self) -> float:
        """See `clients.Member`.

        Nothing where the thread that polls has not for long: a rebalance may end without it.
        """
        return self._renewed if time.monotonic() < self._polled + _ALIVE else -math.inf

    def next_records(self, timeout: float) -> Polled:
        """See `clients.Reader`; a takeover that failed is begun anew by another join."""
        self._polled = time.monotonic()
        if self._rejoin:
            self._rejoin = False
            with self._polling, self._shared.use():
                self._handle.unsubscribe()
                self._subscribe()
        return super().next_records(timeout)

    def settled(self) -> None:
        """Look again whether what is in flight is done. Any thread."""
        self._settled.set()

    def begin_commit(self, delay: float = 0.0) -> None:
        """See `clients.Member`."""
        self._pace.ask(delay)

    def pause_all(self) -> None:
        """Fetch nothing more from what is assigned. Any thread."""
        self._each(self._handle.pause)

    def resume_all(self) -> None:
        """Fetch again from what is paused. Any thread."""
        self._each(self._handle.resume)

    def _each(self, do: Any) -> None:
        with self._using, self._shared.use():
            if not self._closed:
                try:
                    do(self._places(self._assigned))
                except KafkaException as error:
                    _log.debug("kafka.pause_failed", topic=self.topic, why=str(error))

    def _end(self, timeout: float) -> None:
        self._last_words = min(_COMMIT, timeout / 2)
        self._pace.close()
        if self._committer.ident is not None:
            self._committer.join()

    def _subscribe(self) -> None:
        self._handle.subscribe(
            [self.topic],
            on_assign=lambda _, places: self._take_over(sorted(p.partition for p in places)),
            on_revoke=lambda _, places: self._give_up(frozenset(p.partition for p in places)),
            on_lost=lambda _, places: self._lose(frozenset(p.partition for p in places)),
        )

    def _taken(self, timeout: float) -> list[Any]:
        """Return what is there; of an assignment that ended in between, nothing.

        One call may return what was fetched before a rebalance that it served behind it.
        """
        turn = self._turn
        found = super()._taken(timeout)
        if turn == self._turn or not found:
            return found
        for partition, (base, _) in self._said.items():
            self._seek(partition, base)
        return []

    # On the thread that polls, while it does, or on the one that closes

    def _take_over(self, partitions: Sequence[int]) -> None:
        """Make our ownership known to whoever comes after us, and only then use it."""
        self._turn += 1
        claims = self._claim_patiently(partitions)
        if claims is None:  # nothing is held, so nothing is handed out; another join tries again
            self._handle.assign([])
            self._rejoin = True
            return
        places = [
            TopicPartition(self.topic, partition, claim.note.base)
            for partition, claim in claims.items()
        ]
        self._handle.assign(places)
        self._handle.resume(places)
        with self._committing:
            self._assigned = tuple(partitions)
        self._events.assigned(claims, None)

    def _claim_patiently(self, partitions: Sequence[int]) -> Mapping[int, Claim] | None:
        """Take over, trying again what may pass; None where it is in vain."""
        deadline = time.monotonic() + _FETCH
        while True:
            try:
                return self._claim(partitions) if partitions else {}
            except Exception as error:
                _log.warning("kafka.takeover_failed", topic=self.topic, why=repr(error))
                told = told_of(error)
                self._events.not_taken(told)
                if isinstance(told, LostMembership) or time.monotonic() > deadline or self._closed:
                    return None
            time.sleep(_RETRY)

    def _claim(self, partitions: Sequence[int]) -> Mapping[int, Claim]:
        offers = offers_of(self._handle, self._places(partitions), _FETCH)
        claims = self._events.claim(offers)
        if failpoints.on:
            failpoints.hit("group.takeover")
        with self._committing:
            self._said = {}
            self._commit(
                {n: (note.base, self._events.text(note)) for n, (_, note, _) in claims.items()}
            )
        return claims

    def _give_up(self, partitions: frozenset[int]) -> None:
        """Let what is in flight end, say the last word, and hold nothing."""
        self._turn += 1
        self._events.revoking(partitions)
        deadline = time.monotonic() + self._config.revoke_timeout
        while not self._events.drained() and (left := deadline - time.monotonic()) > 0:
            self._settled.wait(left)
            self._settled.clear()
        deadline = time.monotonic() + self._last_words
        while time.monotonic() < deadline and not self._say(final=True):
            time.sleep(_RETRY)
        self._let_go()

    def _lose(self, partitions: frozenset[int]) -> None:
        self._turn += 1
        _log.warning("kafka.lost", partitions=sorted(partitions))
        self._let_go()

    def _let_go(self) -> None:
        with self._committing:
            self._assigned, self._said = (), {}
            self._renewed = -math.inf
            try:
                self._handle.unassign()
            except (KafkaException, RuntimeError) as error:
                _log.debug("kafka.unassign_failed", topic=self.topic, why=str(error))
        self._events.gave_up()

    # On the thread that commits

    def _run(self) -> None:
        with self._shared.use():
            while (asked := self._pace.wait()) is not None:
                if asked:
                    self._say(final=False)
                elif self._assigned:
                    self._renew()

    def _say(self, *, final: bool) -> bool:
        """Commit once; tell whether trying again would be in vain."""
        with self._committing:
            round_ = self._events.committable(final=final)
            try:
                if round_.marks:
                    if failpoints.on and failpoints.hit("group.before_commit"):
                        raise KafkaException(_LOST_ANSWER)
                    self._commit({n: (m.offset, m.text) for n, m in round_.marks.items()})
                    if failpoints.on and failpoints.hit("group.after_commit"):
                        raise KafkaException(_LOST_ANSWER)
            except Exception as error:
                # Whatever it is: somebody waits to be told.
                _log.info("kafka.commit_failed", topic=self.topic, why=repr(error))
                failed: Exception | None = told_of(error)
            else:
                failed = None
        return self._tell(round_, failed)

    def _tell(self, round_: Round, failed: Exception | None) -> bool:
        if failed is not None:
            return not self._events.not_committed(round_, failed)
        self._events.committed(round_)
        return True

    def _renew(self) -> None:
        """Say the last again, so that the broker tells whether we are a member."""
        with self._committing:
            if not self._said:
                return
            partition = min(self._said)
            try:
                self._commit({partition: self._said[partition]})
            except Exception as error:
                _log.info("kafka.renewal_failed", topic=self.topic, why=repr(error))

    def _commit(self, said: Mapping[int, tuple[int, str]]) -> None:
        """Commit now. With `_committing`. Raises what librdkafka raises."""
        began = time.monotonic()
        places = [
            TopicPartition(self.topic, partition, offset, metadata=text)
            for partition, (offset, text) in said.items()
        ]
        for place in self._handle.commit(offsets=places, asynchronous=False):
            if place.error is not None:
                raise KafkaException(place.error)
        self._said.update(said)
        self._renewed = began
        self._pace.renewed()

    def _places(self, partitions: Collection[int]) -> list[TopicPartition]:
        return [TopicPartition(self.topic, partition) for partition in partitions]


_LOST_ANSWER = KafkaError(KafkaError._TIMED_OUT, "failpoint")  # noqa: SLF001 - public
