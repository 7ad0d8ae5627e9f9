"""A broker on virtual time: partitions, a group for each topic, leaders that go away.

A group deals partitions to its members. One that moves is handed over once its owner lets go of
it, or after a bound; a member that is not heard of for a session is struck off.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from chaos.simulation.world import World
from transports.base import GroupState, Message, Receipt

if TYPE_CHECKING:
    from chaos.simulation.member import Member

__all__ = ["HANDOVER", "SESSION", "SKEW", "Broker", "Claims", "Place", "Share", "Stored", "Topic"]

SKEW = 3600.0
"""Seconds by which the broker's clock is ahead of every other."""
SESSION = 6.0
HANDOVER = 4.0
LATE = 2.0
"""Seconds after the time for a handover in which the last word may come."""


class Stored(NamedTuple):
    """A message in its partition; several may share a record."""

    message: Message
    receipt: Receipt
    timestamp: float


class Place(NamedTuple):
    """A partition in one assignment: who owns it next has another `generation`."""

    number: int
    generation: int


class Claims(NamedTuple):
    """What is committed of a partition."""

    offset: int
    text: str


class Share:
    """What the group keeps of one partition."""

    def __init__(self, number: int) -> None:
        self.place = Place(number, 0)
        self.offset: int | None = None
        self.text = ""
        """What its owner noted beside the offset."""
        self.owner: Member | None = None
        self.leaving_since: float | None = None
        """Since when its owner is to hand it over."""

    @property
    def committed(self) -> int:
        """The committed offset; where there is none, all is to be done."""
        return self.offset or 0

    def commit(self, place: Place, said: Claims) -> bool:
        """Keep what an owner says; False where it owns the partition no more."""
        if place != self.place or self.owner is None:
            return False
        self.offset, self.text = said
        return True


class Topic:
    """The partitions of one topic, and its group."""

    def __init__(self, world: World, name: str, partitions: int) -> None:
        self.world = world
        self.name = name
        self.logs: list[list[list[Stored]]] = [[] for _ in range(partitions)]
        self.leaderless = [0.0] * partitions
        """Until when each partition has no leader."""
        self.shares = [Share(number) for number in range(partitions)]
        self.members: list[Member] = []
        self._struck: list[Member] = []
        self.inboxes = [0] * partitions
        self._turn = 0

    def choose(self, partition: int | None, key: bytes | None, avoid: Collection[int]) -> int:
        """Return the partition for a message."""
        if partition is not None:
            return partition
        if key is not None:
            return crc32(key) % len(self.logs)
        open_ = [one for one in range(len(self.logs)) if one not in avoid]
        self._turn += 1
        return (open_ or list(range(len(self.logs))))[self._turn % len(open_ or self.logs)]

    def append(self, partition: int, messages: Sequence[Message]) -> list[Receipt]:
        """Append a record of so many messages."""
        log, now = self.logs[partition], self.world.clock() + SKEW
        receipts = [Receipt(self.name, partition, len(log), part) for part in range(len(messages))]
        log.append([Stored(*one, now) for one in zip(messages, receipts, strict=True)])
        return receipts

    # -- the group -----------------------------------------------------------------------------

    def state(self) -> GroupState:
        """Return how the group stands."""
        marks = {number: share.committed for number, share in enumerate(self.shares)}
        return GroupState(len(self.members), marks)

    def join(self, member: "Member") -> None:
        """Add a member and deal the partitions anew."""
        self.members.append(member)
        self._deal()

    def leave(self, member: "Member") -> None:
        """Take a member away; what it holds is handed out again. Twice: nothing."""
        if member not in self.members:
            return
        self.members.remove(member)
        for share in self.shares:
            if share.owner is member:
                self._release(share)
        self._deal()

    def look(self) -> None:
        """Strike off who has not been heard of for a session; hand over what is due.

        Who is heard of again is a member again.
        """
        now = self.world.clock()
        for member in list(self.members):
            if member.silent_since is not None and now - member.silent_since > SESSION:
                self.leave(member)
                self._struck.append(member)
        for member in [one for one in self._struck if one.silent_since is None]:
            self._struck.remove(member)
            if not member.closed:
                self.members.append(member)
        self._deal()

    def _deal(self) -> None:
        now = self.world.clock()
        for number, share in enumerate(self.shares):
            target = self.members[number % len(self.members)] if self.members else None
            owner = share.owner
            if owner is None:
                self._give(share, target)
            elif share.leaving_since is not None:
                if not owner.holds(share.place):
                    self._give(share, target)
                elif now - share.leaving_since > HANDOVER + LATE:
                    self.world.note("nemesis-0-1", "fault", name="lost", phase="on", args={})
                    self.world.note("nemesis-0-1", "fault", name="lost", phase="off", args={})
                    self._release(share)
                    self._give(share, target)
            elif owner is not target and owner.holds(share.place):
                share.leaving_since = now
                owner.revoke(share.place)

    def _release(self, share: Share) -> None:
        assert share.owner is not None
        share.owner.lose(share.place)
        share.owner = None

    def _give(self, share: Share, target: "Member | None") -> None:
        share.owner, share.leaving_since = target, None
        share.place = share.place._replace(generation=share.place.generation + 1)
        if target is not None:
            target.take_over(share.place)


class Broker:
    """All topics. A topic exists from the moment that somebody prepares or reads it."""

    def __init__(self, world: World, partitions: int) -> None:
        self.world = world
        self.partitions = partitions
        self.topics: dict[str, Topic] = {}

    def topic(self, name: str) -> Topic:
        """Return the topic, created if it is not there."""
        if name not in self.topics:
            self.topics[name] = Topic(self.world, name, self.partitions)
        return self.topics[name]

    def now(self) -> float:
        """Return the broker's time."""
        return self.world.clock() + SKEW

    def look(self) -> None:
        """Let time pass in every group."""
        for topic in self.topics.values():
            if topic.members or any(share.owner for share in topic.shares):
                topic.look()
