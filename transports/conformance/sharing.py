"""Shared receivers: competing consumers, acknowledgement and redelivery."""

# ruff: noqa: S101 - asserts are what a test suite is made of

import time
from collections.abc import Callable, Iterable

from transports.base import Address, Delivery, Message, Receiver, Transport
from transports.conformance.harness import Harness, run_together

__all__ = ["SharingConformance"]

_END = b"end"


def _bodies(deliveries: Iterable[Delivery]) -> list[bytes]:
    return [delivery.message.body for delivery in deliveries]


def _numbers(count: int, key: bytes | None = None) -> list[Message]:
    return [Message(b"%d" % n, key=key) for n in range(count)]


class SharingConformance(Harness):
    """`Transport.receiver(shared=True)`, `Delivery.ack`."""

    most_unacked = 10_000
    """No transport may hand out more than this unacknowledged; lower it where the bound is known,
    and the test of the bound sends less."""

    def test_what_was_sent_before_the_first_receiver_arrives(
        self, transport: Transport, topic: str
    ) -> None:
        transport.prepare(Address(topic), self.patience)
        self.send(transport, Address(topic), _numbers(20))

        receiver = transport.receiver(Address(topic), shared=True)

        assert sorted(_bodies(self.take(receiver, 20))) == sorted(b"%d" % n for n in range(20))

    def test_a_shared_receiver_gets_what_is_sent_to_its_address(
        self, transport: Transport, topic: str
    ) -> None:
        receiver = transport.receiver(Address(topic), shared=True)

        self.send(transport, receiver.address, [Message(b"hello")])

        assert receiver.address.topic == topic
        assert _bodies(self.take(receiver, 1)) == [b"hello"]

    def test_shared_receivers_split_and_each_message_goes_to_one(
        self, connect: Callable[[], Transport], topic: str
    ) -> None:
        receivers = [connect().receiver(Address(topic), shared=True) for _ in range(2)]
        by_whom: dict[bytes, list[int]] = {}

        messages = [Message(b"%d" % n, key=b"key-%d" % n) for n in range(200)]
        self.send(connect(), Address(topic), [*messages, *self._ends(200)])
        for who, deliveries in enumerate(self._take_apart(receivers, 400)):
            for delivery in deliveries:
                by_whom.setdefault(delivery.message.body, []).append(who)

        assert [body for body, who in by_whom.items() if len(who) > 1] == []
        assert {who for takers in by_whom.values() for who in takers} == {0, 1}

    def _ends(self, count: int) -> list[Message]:
        """Return what is sent behind the others, by their keys: a duplicate would come first."""
        return [Message(b"end-%d" % n, key=b"key-%d" % n) for n in range(count)]

    def _take_apart(self, receivers: list[Receiver], count: int) -> list[list[Delivery]]:
        """Receive `count` deliveries from the receivers in turn; return what each of them got."""
        taken: list[list[Delivery]] = [[] for _ in receivers]
        end = time.monotonic() + self.patience
        while sum(map(len, taken)) < count and time.monotonic() < end:
            for receiver, mine in zip(receivers, taken, strict=True):
                arrived = receiver.receive(0.02)
                mine.extend(arrived)
                for delivery in arrived:
                    delivery.ack()
        assert sum(map(len, taken)) >= count, f"fewer than {count} messages arrived"
        return taken

    def test_what_was_not_acknowledged_goes_to_another_receiver(
        self, connect: Callable[[], Transport], topic: str
    ) -> None:
        transport, address = connect(), Address(topic)
        first = transport.receiver(address, shared=True)
        self.send(transport, address, _numbers(30))
        taken = self.take(first, 30)
        second = connect().receiver(address, shared=True)

        first.close(self.patience)
        again = self.take(second, 30)

        assert sorted(set(_bodies(again))) == sorted(_bodies(taken))

    def test_what_was_acknowledged_is_not_delivered_again(
        self, transport: Transport, topic: str
    ) -> None:
        first = transport.receiver(Address(topic), shared=True)
        self.send(transport, Address(topic, 0), _numbers(10))
        for delivery in self.take(first, 10)[:6]:
            delivery.ack()

        assert self._again(transport, first) == [b"6", b"7", b"8", b"9"]

    def _again(self, transport: Transport, receiver: Receiver) -> list[bytes]:
        """Close `receiver`, open another, and return what partition 0 delivers to that one."""
        topic = receiver.address.topic
        receiver.close(self.patience)
        other = transport.receiver(Address(topic), shared=True)
        self.send(transport, Address(topic, 0), [Message(_END)])
        return _bodies(self.take_until(other, _END))

    def test_acknowledging_in_any_order_settles_all(self, transport: Transport, topic: str) -> None:
        first = transport.receiver(Address(topic), shared=True)
        self.send(transport, Address(topic, 0), _numbers(20))
        taken = self.take(first, 20)

        for delivery in (*taken[1::2], *reversed(taken[0::2])):
            delivery.ack()

        assert self._again(transport, first) == []

    def test_a_gap_among_the_acknowledged_is_delivered_again(
        self, transport: Transport, topic: str
    ) -> None:
        first = transport.receiver(Address(topic), shared=True)
        self.send(transport, Address(topic, 0), _numbers(6))
        taken = self.take(first, 6)

        for place in (0, 1, 3, 5):
            taken[place].ack()
        again = self._again(transport, first)

        # What stands behind the gap may come again: a watermark is all that many brokers keep.
        assert {b"2", b"4"} <= set(again)
        assert not {b"0", b"1"} & set(again)

    def test_acknowledging_twice_and_from_many_threads_is_once(
        self, transport: Transport, topic: str
    ) -> None:
        first = transport.receiver(Address(topic), shared=True)
        self.send(transport, Address(topic, 0), _numbers(50))
        taken = self.take(first, 50)

        def ack_all() -> None:
            for delivery in taken[:49]:
                delivery.ack()

        run_together([ack_all] * 4, self.patience)

        assert self._again(transport, first) == [b"49"]

    def test_acknowledging_after_close_does_nothing(self, transport: Transport, topic: str) -> None:
        first = transport.receiver(Address(topic), shared=True)
        self.send(transport, Address(topic, 0), _numbers(3))
        taken = self.take(first, 3)
        first.close(self.patience)
        for delivery in taken:
            delivery.ack()

        assert self._again(transport, first) == [b"0", b"1", b"2"]

    def test_what_one_receiver_left_the_other_goes_on_with(
        self, connect: Callable[[], Transport], topic: str
    ) -> None:
        transport, address = connect(), Address(topic)
        first = connect().receiver(address, shared=True)
        second = connect().receiver(address, shared=True)

        first.close(self.patience)
        self.send(transport, address, [Message(b"%d" % n, key=b"%d" % n) for n in range(50)])

        assert sorted(_bodies(self.take(second, 50))) == sorted(b"%d" % n for n in range(50))

    def test_unacknowledged_messages_are_bounded(self, transport: Transport, topic: str) -> None:
        receiver = transport.receiver(Address(topic), shared=True)
        count = self.most_unacked + 500
        self.send(transport, Address(topic), _numbers(count))

        # A receiver at its bound hands out nothing, however long it is asked; two seconds in which
        # nothing comes although hundreds wait are taken for that.
        taken = list(self.take(receiver, 1))
        while more := receiver.receive(min(2.0, self.patience)):
            taken += more
        at_bound = len(taken)
        for delivery in taken:
            delivery.ack()
        taken += self.take_and_ack(receiver, count - at_bound)

        assert at_bound <= self.most_unacked
        assert sorted(set(_bodies(taken))) == sorted(b"%d" % n for n in range(count))
