"""One partition in the hands of one member, kept as the Kafka transport keeps it.

What is in flight, what may be committed, what is noted for the next owner and who waits for which
commit is the transport's own code: `Offsets`, `Commits`, `claim`, `Share`. What stands here is what
its threads do: fetch, hand out, commit, give up. Each partition is a group of its own.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from chaos.simulation.broker import HANDOVER, Claims, Place, Stored, Topic
from chaos.simulation.world import Process, World
from transports.base import Delivery
from transports.kafka.commits import Commits, Round, Told, Waiter, tell
from transports.kafka.custody import Share
from transports.kafka.ledger import Claim, Offer, claim, write
from transports.kafka.offsets import Offsets
from transports.kafka.partition_log import PartitionLog

__all__ = ["Holder", "Holding"]

T = TypeVar("T")

_LOOK = 0.05
_PAUSE = 0.1
_LAST_WORDS = 1.0
"""Seconds for the last commit of a partition that is given up."""


class Holder(Protocol):
    """The member, as far as a partition of it looks at it."""

    topic: Topic
    process: Process
    world: World
    closed: bool

    @property
    def leased(self) -> bool:
        """Whether it is certain to be a member still."""
        ...


class Holding:
    """One partition in the hands of one member. What it gave up or lost may still be under way."""

    def __init__(self, member: Holder, number: int) -> None:
        self._member, self._number = member, number
        self._process, self._world = member.process, member.world
        self._broker = member.topic.shares[number]
        self._log = member.topic.logs[number]
        self._offsets = Offsets()
        self._commits = Commits()
        self.place: Place | None = None
        """The assignment that lasts; None: there is none."""
        self._lost: Place | None = None
        self._share: Share | None = None
        self._position = len(self._log)
        self._revoked: float | None = None
        self._spoken = False
        self._looking = False
        self._arrives = 0.0

    # -- what becomes of an assignment -------------------------------------------------------------

    def join(self, place: Place) -> None:
        """Ask what the predecessor left, say that we are there, and only then serve."""

        def found(offset: int | None, text: str, end: int) -> None:
            taken = claim(Offer(offset, text, 0, end))
            said = Claims(taken.note.base, write(taken.note)[0])
            self._ask(lambda: self._broker.commit(place, said), lambda ok: ok and began(taken))

        def began(taken: Claim) -> None:
            if self._lost != place and not self._member.closed:
                self._assigned(place, taken)

        self._ask(
            lambda: (self._broker.offset, self._broker.text, len(self._log)),
            lambda left: found(*left),
        )

    def _assigned(self, place: Place, taken: Claim) -> None:
        self.place = place
        self._offsets.assign({self._number: taken}, "topic")
        self._share, self._revoked, self._spoken = None, None, False
        self._position = taken.note.base
        self._process.note("assigned", partitions=[self._number], offset=self._position)
        tell(self._commits.lost())
        self._look_soon()

    def revoke(self, place: Place) -> None:
        """Hand nothing more out; finish, commit at last, let go."""
        if self.place == place and self._revoked is None:
            self._revoked = self._world.clock()
            self._drain(place)

    def _drain(self, place: Place) -> None:
        if self.place != place or self._revoked is None:
            return
        now = self._world.clock()
        if self._offsets.drained() or now > self._revoked + HANDOVER:
            self._spoken = True
            self._last_word(place, now + _LAST_WORDS)
        else:
            self._process.later(_LOOK, lambda: self._drain(place))

    def _last_word(self, place: Place, until: float) -> None:
        def again() -> None:
            if self._world.clock() < until:
                self._last_word(place, until)
            else:
                self.lose(place)

        round_ = self._commits.begin(self._offsets.handover())
        self._send(
            round_,
            lambda: (self._committed(round_), self.lose(place)),
            lambda *, lost: (
                self._failed(round_, lost=lost),
                self.lose(place) if lost else self._process.later(_PAUSE, again),
            ),
        )

    def lose(self, place: Place) -> None:
        """Hold it no more, if it is this assignment that lasts."""
        self._lost = place
        if self.place == place:
            self.place = self._revoked = None
            self._offsets.release()
            self._process.note("revoked", partitions=[self._number])
            tell(self._commits.lost())

    def close(self) -> None:
        """Say the last word at once."""
        if self.place is not None:
            for mark in self._offsets.handover().values():
                self._write(self.place, Claims(mark.offset, mark.text))
            self._offsets.release()
            self.place = None
        tell(self._commits.close())

    # -- what is handed out ------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether there is something to hand out."""
        return self._revoked is None and self._position < len(self._log)

    def hand_out(self, most: int) -> list[Delivery]:
        """Take so many records, and hand out those that `Offsets` lets through."""
        upto = min(len(self._log), self._position + most)
        taken = [
            self._take(stored, len(record))
            for record in self._log[self._position : upto]
            for stored in record
        ]
        self._position = upto
        self._look_soon()
        return [delivery for delivery in taken if delivery is not None]

    def _take(self, stored: Stored, parts: int) -> Delivery | None:
        message, receipt, timestamp = stored
        offset, part = receipt.offset, receipt.part
        log = self._offsets.take(self._number, offset, len(message.body), part, parts)
        if log is None:
            return None
        if self._share is None or self._share.log is not log:
            self._share = Share(self, log)
        delivery = Delivery(message, receipt, timestamp, self._share)
        if log.redelivered(offset):
            delivery.redelivered = True
            delivery.crashes = log.crashes(offset, part)
        return delivery

    # -- what a share asks -------------------------------------------------------------------------

    def settle(self, log: PartitionLog, offset: int, part: int) -> bool:
        """Settle it here at once, and at the broker soon."""
        held = log.held
        if not self._process.lives_on() or not log.settle(offset, part):
            return False
        self._look_soon()
        return held

    def give_back(self, log: PartitionLog, offset: int, part: int) -> bool:
        """Take a message of a lost partition out of flight."""
        return self._process.lives_on() and log.give_back(offset, part)

    def begin(self, log: PartitionLog, offset: int, part: int) -> None:
        """Note that work on a suspect begins."""
        log.begin(offset, part)

    def commit(self, log: PartitionLog, delivery: Delivery, then: Callable[[bool], object]) -> None:
        """Tell when what was said of it is durable."""
        if not self._process.lives_on():
            return
        offset, part = delivery.receipt.offset, delivery.receipt.part
        known = self._known(log, offset, part, acked=delivery.acked)
        waiter = Waiter(log, offset, part, begun=log.begun(offset, part), then=then)
        if known is not None:
            then(known)
        elif self._commits.add(waiter):
            self._commit()

    def owns(self, share: Share) -> bool:
        """Whether it has been ours all the time, and certainly is."""
        lasting = share.log.held and share is self._share and self._revoked is None
        return lasting and not self._member.closed and self._member.leased

    def _known(self, log: PartitionLog, offset: int, part: int, *, acked: bool) -> bool | None:
        if acked and offset < (log.committed or 0):
            return True
        if self._member.closed or not log.held or not (acked or log.in_flight(offset, part)):
            return False
        return None if acked or log.begun(offset, part) else True

    # -- commits -----------------------------------------------------------------------------------

    def _look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            self._process.later(self._world.random.uniform(0.0, 0.1), self._look)

    def _look(self) -> None:
        self._looking = False
        if not self._member.closed and self._commits.due(changed=self._offsets.changed):
            self._commit()
        tell(self._commits.lost())

    def _commit(self) -> None:
        marks = {} if self._spoken else self._offsets.committable(self._commits.wanted())
        round_ = Round({}, []) if self._spoken else self._commits.begin(marks)
        self._send(
            round_,
            lambda: (self._committed(round_), self._again(0.0)),
            lambda *, lost: (self._failed(round_, lost=lost), self._again(_PAUSE)),
        )

    def _committed(self, round_: Round) -> None:
        self._offsets.committed(round_.marks)
        self._tell(self._commits.succeeded(round_))

    def _failed(self, round_: Round, *, lost: bool) -> None:
        self._tell(self._commits.failed(round_, lost=lost))

    def _again(self, delay: float) -> None:
        if self._commits.again(allowed=not (self._spoken or self._member.closed)):
            self._process.later(delay, self._commit)

    def _tell(self, told: Told) -> None:
        if self._process.lives_on():
            tell(told)

    def _send(
        self, round_: Round, kept: Callable[[], object], failed: Callable[..., object]
    ) -> None:
        """Commit a round at the broker; now and then its answer, or it itself, is lost."""
        place = self.place
        if not round_.marks or place is None:
            kept()
            return
        (mark,) = round_.marks.values()
        trouble = self._world.random.random()

        def arrive() -> bool | None:
            if trouble < 0.02:
                return None
            taken = self._write(place, Claims(mark.offset, mark.text))
            return None if trouble < 0.04 and taken else taken

        def answered(taken: bool | None) -> None:  # noqa: FBT001 - what `arrive` returns
            if taken:
                kept()
            else:
                failed(lost=taken is False)

        self._ask(arrive, answered)

    def _write(self, place: Place, said: Claims) -> bool:
        before = self._broker.committed
        taken = self._broker.commit(place, said)
        if taken and self._broker.committed > before:
            name = self._process.name
            self._world.note(name, "committed", partition=self._number, offset=said.offset)
        return taken

    def _ask(self, at_broker: Callable[[], T], then: Callable[[T], object]) -> None:
        """Do something at the broker, in the order of asking, and go on with what it says."""
        if not self._process.lives_on():
            return
        now = self._world.clock()
        self._arrives = max(now + self._world.delay(), self._arrives)

        def arrive() -> None:
            told = at_broker()
            self._process.later(self._world.delay(), lambda: then(told))

        self._world.later(self._arrives - now, arrive)
