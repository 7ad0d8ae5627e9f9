"""A broker on virtual time: partitions, a group for each topic, leaders that go away.

A group deals partitions to its members. One that moves is handed over once its owner has settled
what it holds, or after a bound; a member that is not heard of for a session is struck off.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from chaos.simulation.world import World
from transports.base import GroupState, Message, Receipt

if TYPE_CHECKING:
    from chaos.simulation.member import Member

__all__ = ["SKEW", "Broker", "Share", "Stored", "Topic"]

SKEW = 3600.0
"""Seconds by which the broker's clock is ahead of every other."""
SESSION = 6.0
HANDOVER = 4.0


class Stored(NamedTuple):
    """A record in its partition."""

    message: Message
    receipt: Receipt
    timestamp: float


class Share:
    """What the group knows of one partition."""

    def __init__(self) -> None:
        self.committed = 0
        self.settled: set[int] = set()
        """Settled at or above the committed offset: noted beside it."""
        self.handed = 0
        """Offsets below it have been handed out."""
        self.crashes: dict[int, int] = {}
        self.begun: set[int] = set()
        self.owner: Member | None = None
        self.leaving_since: float | None = None
        """Since when its owner is to hand it over."""

    def settle(self, offsets: Collection[int]) -> None:
        """Note that these are settled, and move the committed offset behind what is contiguous."""
        self.settled |= {offset for offset in offsets if offset >= self.committed}
        while self.committed in self.settled:
            self.settled.remove(self.committed)
            self.committed += 1


class Topic:
    """The partitions of one topic, and its group."""

    def __init__(self, world: World, name: str, partitions: int) -> None:
        self.world = world
        self.name = name
        self.logs: list[list[Stored]] = [[] for _ in range(partitions)]
        self.leaderless = [0.0] * partitions
        """Until when each partition has no leader."""
        self.shares = [Share() for _ in range(partitions)]
        self.members: list[Member] = []
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

    def append(self, partition: int, message: Message) -> Receipt:
        """Append a message."""
        log = self.logs[partition]
        receipt = Receipt(self.name, partition, len(log))
        log.append(Stored(message, receipt, self.world.clock() + SKEW))
        return receipt

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
        for number, share in enumerate(self.shares):
            if share.owner is member:
                self._release(number, share)
        self._deal()

    def look(self) -> None:
        """Strike off who has not been heard of for a session; hand over what is due."""
        now = self.world.clock()
        for member in list(self.members):
            if member.silent_since is not None and now - member.silent_since > SESSION:
                for number, share in enumerate(self.shares):
                    if share.owner is member:
                        self._charge(member, number, share)
                self.leave(member)
        self._deal()

    def _deal(self) -> None:
        now = self.world.clock()
        for number, share in enumerate(self.shares):
            target = self.members[number % len(self.members)] if self.members else None
            owner = share.owner
            if owner is target:
                share.leaving_since = None
            elif owner is None:
                self._give(number, share, target)
            elif share.leaving_since is None:
                share.leaving_since = now
            elif not owner.holding(number) or now - share.leaving_since > HANDOVER:
                if owner.holding(number):
                    self.world.note("nemesis-0-1", "fault", name="lost", phase="on", args={})
                    self.world.note("nemesis-0-1", "fault", name="lost", phase="off", args={})
                self._release(number, share)
                self._give(number, share, target)

    def _release(self, number: int, share: Share) -> None:
        assert share.owner is not None
        share.owner.give_up(number)
        share.owner = None
        share.leaving_since = None

    def _give(self, number: int, share: Share, target: "Member | None") -> None:
        share.owner = target
        if target is not None:
            target.take_over(number, share.committed)

    def _charge(self, member: "Member", number: int, share: Share) -> None:
        """Count a crash for what a member that is gone may have been at."""
        for offset in member.unsettled(number):
            known = share.crashes.get(offset, 0)
            if known < 2 or offset in share.begun:
                share.crashes[offset] = known + 1
        share.begun.clear()


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
