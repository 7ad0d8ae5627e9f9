"""Receivers of the memory transport: a member of a group, and a private inbox.

Owner: all state here is touched under the broker's lock; `arrived` is a condition over it. The
constructors want that lock held, so that a receiver is enrolled and positioned in one step.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from threading import TIMEOUT_MAX, Condition

from transports.base import Address, Custody, Delivery, Unshared
from transports.memory.broker import Broker
from transports.memory.log import Record
from transports.memory.topic import Topic

__all__ = ["InboxReceiver", "SharedReceiver"]

_UNSHARED = Unshared()
_BATCH = 500
"""Records that one `receive` returns at most."""


class _Receiver(ABC):
    """What both kinds share: waiting, closing, and making deliveries of records."""

    def __init__(
        self, broker: Broker, topic: Topic, on_close: Callable[["_Receiver"], None]
    ) -> None:
        self.arrived = Condition(broker.lock)
        self._broker = broker
        self._topic = topic
        self._on_close = on_close
        self._closed = False
        self._number = broker.locked_enter(topic.name, self)

    @property
    def address(self) -> Address:
        """Where to send what this receiver shall get."""
        return Address(self._topic.name)

    def receive(self, max_wait: float) -> Sequence[Delivery]:
        """Return what has arrived, waiting by the real clock; `receive(0)` never waits."""
        end = time.monotonic() + max_wait
        with self.arrived:
            records = self._take()
            while not records and not self._closed and (left := end - time.monotonic()) > 0:
                self.arrived.wait(min(left, TIMEOUT_MAX))
                records = self._take()
        return [self._delivery(record) for record in records]

    def _delivery(self, record: Record) -> Delivery:
        message, receipt, appended_at, redelivered = record
        return Delivery(message, receipt, appended_at, self._custody(), redelivered=redelivered)

    def close(self, timeout: float) -> None:
        """Stop, and give the rest back to others; at once, whatever the timeout."""
        del timeout  # nothing here waits for anybody
        with self.arrived:
            if self._closed:
                return
            self._closed = True
            self._leave()
            self.arrived.notify_all()
            self._broker.locked_exit(self._topic.name, self)
        self._on_close(self)

    @abstractmethod
    def _take(self) -> list[Record]:
        """Return what may be handed out now; nothing once it has left."""

    @abstractmethod
    def _leave(self) -> None:
        """Give back what is held."""

    @abstractmethod
    def _custody(self) -> Custody:
        """Return who answers for what is handed out."""


class SharedReceiver(_Receiver):
    """A member of the topic's one group."""

    def __init__(
        self,
        broker: Broker,
        topic: Topic,
        on_close: Callable[[_Receiver], None],
        *,
        max_unacked: int,
    ) -> None:
        super().__init__(broker, topic, on_close)
        self._max_unacked = max_unacked
        topic.join(self._number)

    def _take(self) -> list[Record]:
        if self._closed:
            return []
        return self._topic.take(self._number, _BATCH, self._max_unacked)

    def _leave(self) -> None:
        self._topic.leave(self._number)

    def _custody(self) -> Custody:
        return self

    def ack(self, delivery: Delivery) -> bool:
        """Settle it, if it is held here."""
        partition, offset = delivery.receipt.partition, delivery.receipt.offset
        with self.arrived:
            settled = self._topic.ack(self._number, partition, offset)
            if settled:
                # There is room again here, and perhaps a handover has become due.
                self._broker.locked_wake(self._topic.name)
        return settled

    def owned(self, delivery: Delivery) -> bool:
        """Tell whether it is held here."""
        partition, offset = delivery.receipt.partition, delivery.receipt.offset
        with self.arrived:
            return self._topic.holds(self._number, partition, offset)

    def lost(self, delivery: Delivery) -> bool:
        """Tell whether it was left to others, which a member does when it leaves."""
        del delivery
        return self._closed

    def give_back(self, delivery: Delivery) -> bool:
        """Tell whether it was left to others: nothing of it is here then."""
        return self._closed and not delivery.acked

    def begin(self, delivery: Delivery) -> None:
        """Do nothing: no process dies without its broker here."""

    def commit(self, delivery: Delivery, then: Callable[[bool], object]) -> None:
        """Tell at once whether it was settled, or is held, here."""
        then(delivery.acked or self.owned(delivery))


class InboxReceiver(_Receiver):
    """A private inbox: one partition, from its end at the moment of opening."""

    def __init__(
        self,
        broker: Broker,
        topic: Topic,
        on_close: Callable[[_Receiver], None],
        *,
        partition: int | None,
    ) -> None:
        super().__init__(broker, topic, on_close)
        self._partition = topic.open_inbox(self._number, partition)

    @property
    def address(self) -> Address:
        """The topic and the one partition that this inbox reads."""
        return Address(self._topic.name, self._partition)

    def _take(self) -> list[Record]:
        return self._topic.read(self._number, _BATCH)

    def _leave(self) -> None:
        self._topic.close_inbox(self._number)

    def _custody(self) -> Custody:
        return _UNSHARED
