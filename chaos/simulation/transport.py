"""The joint over the virtual broker, one for each process, with what goes wrong on the way."""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from chaos.simulation.broker import Broker, Topic
from chaos.simulation.member import Member
from chaos.simulation.world import Process
from rpc.reply import is_clock
from transports.base import (
    Address,
    Delivery,
    GroupState,
    Message,
    OnSent,
    Purpose,
    Receipt,
    Receiver,
    Transport,
    Unshared,
)
from transports.errors import SendUncertain, TransportError, Unreachable

__all__ = ["Inbox", "Trouble", "VirtualTransport"]

_UNSHARED = Unshared()
_GIVE_UP = 8.0
"""Seconds for which a producer tries to reach a leader."""
_BATCH = 20
_JOINS = 0.8
"""How likely a message shares the record that is on its way to the same partition."""


class Trouble(NamedTuple):
    """How likely each thing is that can go wrong with one send."""

    fail: float = 0.0
    """Not appended, and said so."""
    uncertain: float = 0.0
    """Appended or not, and nobody knows."""
    duplicate: float = 0.0
    """Appended twice."""


class VirtualTransport(Transport):
    """What one process has of the broker."""

    def __init__(self, broker: Broker, process: Process) -> None:
        self._broker = broker
        self._process = process
        self._world = broker.world
        self._knows_time = False
        self._last: dict[tuple[str, int], float] = {}
        self._loads: dict[tuple[str, int], list[tuple[Message, OnSent]]] = {}
        """By partition, the record on its way that what is sent next may share."""
        self.trouble = Trouble()
        self.on_delivery: Callable[[Delivery], object] = bool
        """Told of everything that a member of a group is handed."""
        self.receivers: list[Member | Inbox] = []

    @property
    def frames(self) -> bool:
        """Records with several messages are taken apart here."""
        return True

    @property
    def client_id(self) -> str:
        """One application: its instances share the topic of replies."""
        return "app"

    def now(self) -> float | None:
        """Return the broker's time, once a send was acknowledged."""
        return self._broker.now() if self._knows_time else None

    def group(self, topic: str, timeout: float) -> GroupState:
        """Return how the group stands."""
        del timeout
        return self._broker.topic(topic).state()

    def prepare(self, address: Address, timeout: float, *, purpose: Purpose = "requests") -> None:
        """Create the topic."""
        del timeout, purpose
        self._broker.topic(address.topic)

    def send(
        self,
        address: Address,
        message: Message,
        on_sent: OnSent,
        /,
        *,
        avoid: Collection[int] = (),
        once: bool = False,
        packed: bool = False,
    ) -> None:
        """Send it on its way; in order for each partition, as an idempotent producer does."""
        if not self._process.lives_on():
            return
        world, trouble = self._world, self.trouble
        if is_clock(message):  # its sender stands still until it is answered
            self._knows_time = True
            world.clock.advance(world.random.uniform(0.001, 0.005))
            on_sent(Receipt(address.topic, address.partition or 0, -1))
            return
        topic = self._broker.topic(address.topic)
        partition = topic.choose(address.partition, message.key, avoid)
        place = (address.topic, partition)
        load = self._loads.get(place)
        if load is not None and packed and not once and world.chance(_JOINS):
            load.append((message, on_sent))
            return
        self._loads.pop(place, None)
        lot = world.random.random()
        if lot < trouble.fail:
            self._replied(message, "failed")
            self._tell(on_sent, Unreachable("simulated: no broker answers"))
            return
        arrives = max(world.clock() + world.delay(), self._last.get(place, 0.0))
        self._last[place] = arrives
        lot -= trouble.fail
        uncertain = lot < trouble.uncertain
        # A request is appended once by an idempotent producer: it comes twice by other attempts and
        # by other owners of its partition.
        twice = lot - trouble.uncertain < trouble.duplicate and not (uncertain or once)
        if uncertain and world.chance(0.5):
            self._replied(message, "failed")
            self._tell(on_sent, SendUncertain("simulated: no answer"))
            return
        given_up = world.clock() + _GIVE_UP
        load = [(message, on_sent)]
        if packed and not once:
            self._loads[place] = load

        def arrive() -> None:
            if self._loads.get(place) is load:
                del self._loads[place]
            if not self._process.alive and world.chance(0.5):
                return  # it had not left the machine
            wait = topic.leaderless[partition] - world.clock()
            if wait > 0:
                if topic.leaderless[partition] > given_up:
                    error = Unreachable("simulated: the partition has no leader")
                    self._landed(load, [error] * len(load))
                else:
                    world.later(wait, arrive)
                return
            messages = [message for message, _ in load]
            receipts = topic.append(partition, messages)
            if twice and not any(map(_is_request, messages)):
                topic.append(partition, messages)
            lost = [SendUncertain("simulated: lost")] * len(load)
            self._landed(load, lost if uncertain else receipts, how="sent")

        world.later(arrives - world.clock(), arrive)

    def _landed(
        self,
        load: Sequence[tuple[Message, OnSent]],
        outcomes: Sequence[Receipt | TransportError],
        how: str = "failed",
    ) -> None:
        for (message, on_sent), outcome in zip(load, outcomes, strict=True):
            self._replied(message, how)
            self._tell(on_sent, outcome)

    def _replied(self, message: Message, how: str) -> None:
        """Note a reply that is with the broker, or never will be: its request is settled then."""
        headers = dict(message.headers)
        if headers.get("rpc-kind") == b"reply":
            call = headers["kafka_correlationId"].hex()
            # The broker's own word: it holds even where the sender has died since.
            self._world.note(self._process.name, "replied", call=call, how=how)

    def _tell(self, on_sent: OnSent, outcome: Receipt | TransportError) -> None:
        def tell() -> None:
            if isinstance(outcome, Receipt):
                self._knows_time = True
            on_sent(outcome)

        self._process.later(self._world.delay(), tell)

    def receiver(self, address: Address, *, shared: bool) -> Receiver:
        """Open a member of the topic's group, or an inbox."""
        topic = self._broker.topic(address.topic)
        made = (
            Member(topic, self._process, self.on_delivery)
            if shared
            else Inbox(topic, address.partition)
        )
        self.receivers.append(made)
        return made

    def close(self, timeout: float) -> None:
        """Close the receivers."""
        for receiver in self.receivers:
            receiver.close(timeout)


def _is_request(message: Message) -> bool:
    return dict(message.headers).get("rpc-kind") == b"request"


class Inbox:
    """A private inbox: what is appended to its partition from now on."""

    def __init__(self, topic: Topic, partition: int | None) -> None:
        if partition is None:
            partition = topic.inboxes.index(min(topic.inboxes))
        topic.inboxes[partition] += 1
        self.address = Address(topic.name, partition)
        self._log = topic.logs[partition]
        self._position = len(self._log)

    @property
    def waits(self) -> bool:
        """Whether there is something to take."""
        return self._position < len(self._log)

    def receive(self, max_wait: float) -> Sequence[Delivery]:
        """Return what has come."""
        del max_wait
        new = self._log[self._position : self._position + _BATCH]
        self._position += len(new)
        return [Delivery(*stored, _UNSHARED) for record in new for stored in record]

    def close(self, timeout: float) -> None:
        """Do nothing: nobody else waits for what is here."""
