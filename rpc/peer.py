"""What a channel knows of the services that it calls: their partitions, and whether they are there.

Pure: every moment is an argument; the channel's lock guards it all.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rpc.deadline import Deadlines
from rpc.health import PartitionHealth
from rpc.presence import ASK_EVERY, ASK_HELD, CHECK_AFTER, Presence

if TYPE_CHECKING:
    from rpc.call import Call

__all__ = ["Peer", "Peers"]


class Peer:
    """One service, for all routes of a channel that lead there."""

    __slots__ = ("check_at", "frames", "health", "presence", "service", "topic")

    def __init__(self, service: str, topic: str) -> None:
        self.service = service
        self.topic = topic
        self.health = PartitionHealth()
        self.presence = Presence()
        self.frames = False
        """Whether a reply has shown that its servers read several requests from one record."""
        self.check_at = math.inf
        """When to look whether a call has waited so long that it is asked who serves it."""


class Peers:
    """The services that a channel calls, by topic, and when each is to be looked at."""

    def __init__(self) -> None:
        self._peers: dict[str, Peer] = {}
        self._checks: Deadlines[str] = Deadlines()

    def get(self, service: str, topic: str) -> Peer:
        """Return what is known of a service, which is nothing the first time."""
        if topic not in self._peers:
            self._peers[topic] = Peer(service, topic)
        return self._peers[topic]

    def check(self, peer: Peer, at: float) -> None:
        """Look at the calls of `peer` at this moment, unless that is to be done sooner."""
        if at < peer.check_at:
            peer.check_at = at
            self._checks.add(peer.topic, at)

    def next_deadline(self) -> float | None:
        """Return when `due` will next have something to do."""
        return self._checks.next_deadline()

    def due(self, now: float, pending: "Iterable[Call[Any]]") -> list[Peer]:
        """Return the services to ask about: a call waits for too long, and none was asked lately.

        `pending` are all calls that wait for a reply.
        """
        topics = self._checks.expire(now)
        return [peer for topic in topics if self._wants(peer := self._peers[topic], now, pending)]

    def _wants(self, peer: Peer, now: float, pending: "Iterable[Call[Any]]") -> bool:
        peer.check_at = math.inf
        calls = [call for call in pending if call.route.peer is peer]
        if not calls or peer.presence.off:
            return False
        first = min(map(_overdue, calls))
        every = ASK_EVERY if peer.presence.empty_since is None else ASK_HELD
        asks = first <= now and peer.presence.ask(now, every)
        self.check(peer, first if first > now else max(peer.presence.next_ask(every), now + 0.05))
        return asks


def _overdue(call: "Call[Any]") -> float:
    return call.began + min(call.timeout / 2, CHECK_AFTER) if call.attempt else call.began
