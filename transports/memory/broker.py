"""What the transports of one name share: topics, and who is to be woken when something arrives.

Owner: everything in a `Broker` is touched under its `lock` alone, which is held for table edits and
never while foreign code runs. The table of brokers is touched under `_brokers_lock`.
"""

import itertools
import time
from collections.abc import Callable, Collection
from threading import Condition, Lock
from typing import Protocol

from transports.base import Address, GroupState, Message, Receipt
from transports.errors import AddressUnknown, ConfigurationError
from transports.memory.topic import Topic, check_name

__all__ = ["Broker", "Reader", "acquire_broker", "release_broker"]


class Reader(Protocol):
    """Something that waits for records of a topic."""

    @property
    def arrived(self) -> Condition:
        """A condition over the broker's lock, notified when there may be something to take."""
        ...


class Broker:
    """Topics in memory. Its methods lock; those that begin with `locked_` want the lock held."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.lock = Lock()
        self.clock = clock
        self._topics: dict[str, Topic] = {}
        self._readers: dict[str, list[Reader]] = {}
        self._numbers = itertools.count()

    def prepare(self, address: Address, partitions: int) -> None:
        """Create the topic with `partitions` of them if it is missing; check the partition."""
        with self.lock:
            self.locked_topic(address.topic, partitions).check_partition(address.partition)

    def locked_topic(self, name: str, partitions: int) -> Topic:
        """Return the topic of that name, created with `partitions` if it is not there."""
        if name not in self._topics:
            check_name(name)
            self._topics[name] = Topic(name, partitions)
            self._readers[name] = []
        return self._topics[name]

    def group(self, name: str) -> GroupState:
        """Return how the group of a topic stands; raises `AddressUnknown`."""
        with self.lock:
            topic = self._topics.get(name)
            if topic is None:
                raise AddressUnknown(f"topic {name!r} does not exist; start what serves it")
            return topic.group()

    def append(self, address: Address, message: Message, avoid: Collection[int] = ()) -> Receipt:
        """Append `message` and wake its readers; raises what `Topic.append` raises."""
        with self.lock:
            topic = self._topics.get(address.topic)
            if topic is None:
                raise AddressUnknown(
                    f"topic {address.topic!r} does not exist; call `prepare` before the first "
                    f"send, or open a receiver on it"
                )
            receipt = topic.append(address, message, self.clock(), avoid).receipt
            self.locked_wake(address.topic)
            return receipt

    def locked_wake(self, topic: str) -> None:
        """Let every reader of `topic` look again; costs nothing where none waits."""
        for reader in self._readers[topic]:
            reader.arrived.notify_all()

    def locked_enter(self, topic: str, reader: Reader) -> int:
        """Enrol `reader` of `topic`, and return a number that no other reader has."""
        self._readers[topic].append(reader)
        return next(self._numbers)

    def locked_exit(self, topic: str, reader: Reader) -> None:
        """Strike `reader` off and let the others look again: they may have inherited something."""
        self._readers[topic].remove(reader)
        self.locked_wake(topic)


_brokers: dict[str, tuple[Broker, int]] = {}
"""By name: the broker, and how many transports use it."""
_brokers_lock = Lock()


def acquire_broker(name: str, clock: Callable[[], float] | None) -> Broker:
    """Return the broker of that name, made if there is none; `release_broker` must follow.

    `clock` None takes the one that is there, or `time.monotonic`. Raises `ConfigurationError` if
    the broker runs on another clock: ages would mean nothing.
    """
    with _brokers_lock:
        broker, users = _brokers.get(name) or (Broker(clock or time.monotonic), 0)
        if clock is not None and broker.clock is not clock:
            raise ConfigurationError(
                f"memory://{name} is open on another clock; give every transport of one name the "
                f"same clock, or this one another name"
            )
        _brokers[name] = (broker, users + 1)
        return broker


def release_broker(name: str) -> None:
    """Give back what `acquire_broker` returned; the last one drops the broker and its messages."""
    with _brokers_lock:
        broker, users = _brokers.pop(name)
        if users > 1:
            _brokers[name] = (broker, users - 1)
