"""A member of a group on the virtual broker: which partitions it has, and what it hands out."""

from collections.abc import Callable, Sequence

from chaos.simulation.broker import SESSION, Place, Topic
from chaos.simulation.holding import Holding
from chaos.simulation.world import Process
from transports.base import Address, Delivery

__all__ = ["Member"]

_BATCH = 20
_LEASE = 0.9
"""Share of a session for which a member that is not answered is certain to be one."""


class Member:
    """A member of a topic's group, and who answers for what it has taken."""

    def __init__(
        self, topic: Topic, process: Process, on_delivery: Callable[[Delivery], object]
    ) -> None:
        self.address = Address(topic.name)
        self.topic, self.process = topic, process
        self.world = topic.world
        self.closed = False
        self._on_delivery = on_delivery
        self._silent: float | None = None
        self._heard = self.world.clock()
        self._held: dict[int, Holding] = {}
        topic.join(self)

    @property
    def silent_since(self) -> float | None:
        """Since when the group has not heard of it, None while it does."""
        if self.process.runs:
            self._silent = None
            if self in self.topic.members:
                self._heard = self.world.clock()
        elif self._silent is None:
            self._silent = self.world.clock()
        return self._silent

    @property
    def leased(self) -> bool:
        """Whether it is certain to be a member still."""
        return self.world.clock() < self._heard + _LEASE * SESSION

    def take_over(self, place: Place) -> None:
        """Own a partition: it is told so."""
        held = self._held.setdefault(place.number, Holding(self, place.number))
        self.process.later(self.world.delay(), lambda: held.join(place))

    def holds(self, place: Place) -> bool:
        """Tell whether it has begun to serve a partition, and has not given it up."""
        return self._held[place.number].place == place

    def revoke(self, place: Place) -> None:
        """Be told to give a partition up in order."""
        self.process.later(self.world.delay(), lambda: self._held[place.number].revoke(place))

    def lose(self, place: Place) -> None:
        """Be told that a partition is another's."""
        self.process.later(self.world.delay(), lambda: self._held[place.number].lose(place))

    # -- what the server asks --------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether there is something to take."""
        return self.leased and any(held.waits for held in self._held.values())

    def receive(self, max_wait: float) -> Sequence[Delivery]:
        """Take a batch of each partition that is not about to move."""
        del max_wait
        deliveries: list[Delivery] = []
        for held in list(self._held.values()):
            if held.waits and self.leased and self.process.lives_on():
                deliveries += held.hand_out(self.world.random.randint(1, _BATCH))
        for delivery in deliveries:
            self._on_delivery(delivery)
        return deliveries

    def close(self, timeout: float) -> None:
        """Make durable what is settled and leave."""
        del timeout
        if self.closed or not self.process.alive:
            return
        self.closed = True
        for held in self._held.values():
            held.close()
        self.topic.leave(self)
