"""Who answers for a message: redelivery, ownership, commitment, and how a group stands."""

# ruff: noqa: S101 - asserts are what a test suite is made of

import time
from collections.abc import Callable
from threading import Condition

import pytest

from transports.base import Address, Delivery, GroupState, Message, Receiver, Transport
from transports.conformance.harness import Harness
from transports.errors import SendUncertain, TransportError

__all__ = ["CustodyConformance", "GroupConformance", "Told"]


class Told:
    """What `commit` told, in order. Thread-safe."""

    def __init__(self) -> None:
        self._told = Condition()
        self._values: list[bool] = []

    def then(self, kept: bool) -> None:  # noqa: FBT001 - what `commit` tells
        with self._told:
            self._values.append(kept)
            self._told.notify_all()

    def wait(self, receiver: Receiver, count: int, patience: float) -> list[bool]:
        """Return what was told, once so much was; a receiver that nobody asks may do nothing."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            receiver.receive(0.02)
            with self._told:
                if len(self._values) >= count:
                    break
        with self._told:
            return list(self._values)


class CustodyConformance(Harness):
    """`Delivery.redelivered`, `crashes`, `owned`, `lost`, `give_back`, `begin` and `commit`."""

    def _sent_and_taken(
        self, transport: Transport, topic: str, count: int
    ) -> tuple[Receiver, list[Delivery]]:
        receiver = transport.receiver(Address(topic), shared=True)
        self.send(transport, Address(topic, 0), [Message(b"%d" % n) for n in range(count)])
        return receiver, self.take(receiver, count)

    def test_what_nobody_had_is_not_redelivered(self, transport: Transport, topic: str) -> None:
        _, taken = self._sent_and_taken(transport, topic, 5)

        assert [delivery.redelivered for delivery in taken] == [False] * 5
        assert [delivery.crashes for delivery in taken] == [0] * 5

    def test_what_a_receiver_had_and_did_not_acknowledge_is_redelivered(
        self, transport: Transport, topic: str
    ) -> None:
        first, _ = self._sent_and_taken(transport, topic, 5)
        first.close(self.patience)
        second = transport.receiver(Address(topic), shared=True)

        again = self.take(second, 5)

        assert [delivery.redelivered for delivery in again] == [True] * 5

    def test_what_comes_behind_what_is_redelivered_is_not(
        self, transport: Transport, topic: str
    ) -> None:
        first, taken = self._sent_and_taken(transport, topic, 3)
        for delivery in taken:
            delivery.ack()
        first.close(self.patience)
        second = transport.receiver(Address(topic), shared=True)
        self.send(transport, Address(topic, 0), [Message(b"fresh")])

        (fresh,) = self.take(second, 1)

        assert fresh.message.body == b"fresh"
        assert not fresh.redelivered

    def test_a_receiver_that_closes_in_order_is_charged_with_no_crash(
        self, transport: Transport, topic: str
    ) -> None:
        first, taken = self._sent_and_taken(transport, topic, 3)
        taken[1].begin()
        first.close(self.patience)
        second = transport.receiver(Address(topic), shared=True)

        assert [delivery.crashes for delivery in self.take(second, 3)] == [0] * 3

    def test_to_begin_what_nobody_died_of_changes_nothing(
        self, transport: Transport, topic: str
    ) -> None:
        receiver, (begun, settled) = self._sent_and_taken(transport, topic, 2)
        told = Told()

        settled.ack()
        begun.begin()
        begun.commit(told.then)
        first = told.wait(receiver, 1, self.patience)
        held = begun.owned, begun.acked
        receiver.close(self.patience)
        again = self.take(transport.receiver(Address(topic), shared=True), 1)

        assert (first, held) == ([True], (True, False))
        assert [delivery.message.body for delivery in again] == [begun.message.body]

    def test_a_message_is_owned_while_it_is_held_and_not_after_close(
        self, transport: Transport, topic: str
    ) -> None:
        receiver, taken = self._sent_and_taken(transport, topic, 3)

        held = [delivery.owned for delivery in taken]
        receiver.close(self.patience)

        assert held == [True] * 3
        assert [delivery.owned for delivery in taken] == [False] * 3

    def test_only_what_is_lost_and_not_settled_can_be_given_back(
        self, transport: Transport, topic: str
    ) -> None:
        receiver, taken = self._sent_and_taken(transport, topic, 3)

        taken[0].ack()
        held = [(delivery.lost, delivery.give_back()) for delivery in taken]
        receiver.close(self.patience)
        lost = [(delivery.lost, delivery.give_back()) for delivery in taken]
        again = self.take(transport.receiver(Address(topic), shared=True), 2)

        assert held == [(False, False)] * 3
        assert lost == [(True, False), (True, True), (True, True)]
        assert [delivery.message.body for delivery in again] == [b"1", b"2"]

    def test_commit_tells_once_that_an_acknowledgement_is_durable(
        self, transport: Transport, topic: str
    ) -> None:
        receiver, taken = self._sent_and_taken(transport, topic, 3)
        told = [Told() for _ in taken]

        for delivery, each in zip(taken, told, strict=True):
            delivery.ack()
            delivery.commit(each.then)
        first = [each.wait(receiver, 1, self.patience) for each in told]
        receiver.close(self.patience)

        assert first == [[True]] * 3
        assert [each.wait(receiver, 0, 0.0) for each in told] == [[True]] * 3

    def test_commit_tells_that_a_message_is_no_longer_ours(
        self, transport: Transport, topic: str
    ) -> None:
        receiver, taken = self._sent_and_taken(transport, topic, 3)
        receiver.close(self.patience)
        told = Told()

        for delivery in taken:
            delivery.ack()
            delivery.commit(told.then)

        assert told.wait(receiver, 3, self.patience) == [False] * 3
        assert [delivery.acked for delivery in taken] == [False] * 3


class GroupConformance(Harness):
    """`Transport.group`."""

    def _group(
        self,
        transport: Transport,
        topic: str,
        receivers: list[Receiver],
        stands: Callable[[GroupState], bool],
    ) -> GroupState:
        """Ask until the group stands so, while its receivers are asked too; return the last."""
        end = time.monotonic() + self.patience
        while True:
            state = transport.group(topic, self.patience)
            if stands(state) or time.monotonic() > end:
                return state
            for receiver in receivers:
                receiver.receive(0.02)

    def _members(self, transport: Transport, topic: str, receivers: list[Receiver]) -> int:
        """Return how many members are counted, once they are as many as there are receivers."""
        expected = len(receivers)
        return self._group(transport, topic, receivers, lambda s: s.members == expected).members

    def test_a_group_counts_the_receivers_that_share_a_topic(
        self, connect: Callable[[], Transport], topic: str
    ) -> None:
        transport = connect()
        transport.prepare(Address(topic), self.patience)
        counted = [transport.group(topic, self.patience).members]
        receivers: list[Receiver] = []

        for _ in range(2):
            receivers.append(connect().receiver(Address(topic), shared=True))
            counted.append(self._members(transport, topic, receivers))
        receivers.pop().close(self.patience)
        counted.append(self._members(transport, topic, receivers))

        assert counted == [0, 1, 2, 1]

    def test_a_private_inbox_is_in_no_group(self, transport: Transport, topic: str) -> None:
        transport.receiver(Address(topic), shared=False)

        assert transport.group(topic, self.patience).members == 0

    def test_a_group_tells_below_which_offset_everything_is_settled(
        self, transport: Transport, topic: str
    ) -> None:
        receiver = transport.receiver(Address(topic), shared=True)
        receipts = self.send(transport, Address(topic, 0), [Message(b"")] * 6)
        for delivery in self.take(receiver, 6)[:4]:
            delivery.ack()

        mark = receipts[4].offset
        state = self._group(
            transport, topic, [receiver], lambda state: state.committed.get(0, 0) >= mark
        )

        assert state.committed.get(0) == mark

    def test_the_group_of_a_topic_that_is_not_there_is_refused(
        self, transport: Transport, topic: str
    ) -> None:
        with pytest.raises(TransportError) as raised:
            transport.group(topic, self.patience)

        assert not isinstance(raised.value, SendUncertain)
        assert topic in str(raised.value)
