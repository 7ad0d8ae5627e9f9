"""A member of a group on the virtual broker: what it was handed, settled and made durable."""

from collections.abc import Callable, Sequence

from chaos.simulation.broker import Share, Stored, Topic
from chaos.simulation.world import Process
from transports.base import Address, Delivery

__all__ = ["Member"]

_BATCH = 20


class Member:
    """A member of a topic's group, and who answers for what it has taken."""

    def __init__(
        self, topic: Topic, process: Process, on_delivery: Callable[[Delivery], object]
    ) -> None:
        self.address = Address(topic.name)
        self._on_delivery = on_delivery
        self._topic = topic
        self._silent: float | None = None
        self._process = process
        self._world = topic.world
        self._held: dict[int, dict[int, Stored]] = {}
        """By partition, what was handed out and is not settled."""
        self._position: dict[int, int] = {}
        self._acked: dict[int, set[int]] = {}
        """By partition, what was settled here and is not known to be durable."""
        self._flushing = False
        self._closed = False
        topic.join(self)

    @property
    def silent_since(self) -> float | None:
        """Since when the group has not heard of it, None while it does."""
        if self._process.runs:
            self._silent = None
        elif self._silent is None:
            self._silent = self._world.clock()
        return self._silent

    # -- what the group asks ---------------------------------------------------------------------

    def holding(self, partition: int) -> bool:
        """Tell whether something of the partition is not settled, or not known to be durable."""
        return bool(self._held.get(partition) or self._acked.get(partition))

    def unsettled(self, partition: int) -> list[int]:
        """Return what of the partition may be under way here."""
        return list(self._held.get(partition, ()))

    def take_over(self, partition: int, offset: int) -> None:
        """Own a partition from its committed offset on."""
        self._held[partition] = {}
        self._acked[partition] = set()
        self._position[partition] = offset
        self._process.note("assigned", partitions=[partition], offset=offset)

    def give_up(self, partition: int) -> None:
        """Own a partition no more."""
        for table in (self._held, self._acked, self._position):
            table.pop(partition, None)
        if self._process.runs:
            self._process.note("revoked", partitions=[partition])

    # -- what the server asks --------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether there is something to take."""
        return any(
            position < len(self._topic.logs[partition])
            for partition, position in self._position.items()
            if self._topic.shares[partition].leaving_since is None
        )

    def receive(self, max_wait: float) -> Sequence[Delivery]:
        """Take a batch of each partition that is not about to move."""
        del max_wait
        deliveries: list[Delivery] = []
        for partition, position in list(self._position.items()):
            share, log = self._topic.shares[partition], self._topic.logs[partition]
            if share.leaving_since is not None or not self._process.lives_on():
                continue
            upto = min(len(log), position + self._world.random.randint(1, _BATCH))
            deliveries += [
                self._deliver(share, log[offset])
                for offset in range(position, upto)
                if offset >= share.committed and offset not in share.settled
            ]
            self._position[partition] = upto
            share.handed = max(share.handed, upto)
        return deliveries

    def _deliver(self, share: Share, stored: Stored) -> Delivery:
        _, partition, offset, _ = stored.receipt
        self._held[partition][offset] = stored
        delivery = Delivery(
            stored.message,
            stored.receipt,
            stored.timestamp,
            self,
            redelivered=offset < share.handed,
            crashes=share.crashes.get(offset, 0),
        )
        self._on_delivery(delivery)
        return delivery

    def ack(self, delivery: Delivery) -> bool:
        """Settle it here at once, and at the broker soon."""
        _, partition, offset, _ = delivery.receipt
        if not self._process.lives_on() or offset not in self._held.get(partition, ()):
            return False
        del self._held[partition][offset]
        self._acked[partition].add(offset)
        if not self._flushing:
            self._flushing = True
            self._process.later(self._world.random.uniform(0.0, 0.1), self._flush)
        return True

    def begin(self, delivery: Delivery) -> None:
        """Note that a suspect is started."""
        _, partition, offset, _ = delivery.receipt
        if self.owned(delivery):
            self._topic.shares[partition].begun.add(offset)

    def owned(self, delivery: Delivery) -> bool:
        """Tell whether it is held here, and the group has given it to nobody else."""
        _, partition, offset, _ = delivery.receipt
        return self._process.alive and offset in self._held.get(partition, ())

    def commit(self, delivery: Delivery, then: Callable[[bool], object]) -> None:
        """Make durable what was said of it."""
        _, partition, offset, _ = delivery.receipt
        settled = delivery.acked

        def arrive() -> None:
            share = self._topic.shares[partition]
            acked = self._acked.get(partition, set())
            kept = share.owner is self and (
                offset in acked
                or offset < share.committed
                or offset in share.settled
                or (not settled and offset in self._held.get(partition, ()))
            )
            if kept:
                self._settle(partition, acked)
            self._process.later(self._world.delay(), lambda: then(kept))

        if self._process.lives_on():
            self._world.later(self._world.delay(), arrive)

    def _flush(self) -> None:
        self._flushing = False
        if not self._process.lives_on():
            return
        for partition, acked in list(self._acked.items()):
            sent = set(acked)

            def arrive(partition: int = partition, sent: set[int] = sent) -> None:
                if self._topic.shares[partition].owner is self:
                    self._settle(partition, sent)

            if sent:
                self._world.later(self._world.delay(), arrive)

    def _settle(self, partition: int, offsets: set[int]) -> None:
        share = self._topic.shares[partition]
        before = share.committed
        share.settle(offsets)
        self._acked.get(partition, set()).difference_update(set(offsets))
        if share.committed > before:
            self._world.note(
                self._process.name, "committed", partition=partition, offset=share.committed
            )

    def close(self, timeout: float) -> None:
        """Make durable what is settled and leave."""
        del timeout
        if self._closed or not self._process.alive:
            return
        self._closed = True
        for partition, acked in list(self._acked.items()):
            if self._topic.shares[partition].owner is self:
                self._settle(partition, set(acked))
        self._topic.leave(self)
