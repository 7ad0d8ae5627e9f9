"""Private inboxes: only what comes after they opened, and only what goes to their partition."""

# ruff: noqa: S101 - asserts are what a test suite is made of

from collections.abc import Callable

import pytest

from transports.base import Address, Message, Transport
from transports.conformance.harness import Harness
from transports.errors import TransportError

__all__ = ["InboxConformance"]


class InboxConformance(Harness):
    """`Transport.receiver(shared=False)`."""

    def test_an_inbox_gets_all_and_only_what_is_sent_after_it_opened(
        self, transport: Transport, topic: str
    ) -> None:
        address = Address(topic, 0)
        transport.prepare(address, self.patience)
        firsts: list[bytes] = []

        # Again and again: an inbox that is not positioned when it is handed over loses only now
        # and then what is sent at once.
        for turn in range(20):
            self.send(transport, address, [Message(b"before-%d" % turn)])
            inbox = transport.receiver(address, shared=False)
            self.send(transport, address, [Message(b"after-%d" % turn)])
            firsts.append(self.take(inbox, 1)[0].message.body)
            inbox.close(self.patience)

        assert firsts == [b"after-%d" % turn for turn in range(20)]

    def test_the_address_of_an_inbox_names_its_partition(
        self, transport: Transport, topic: str
    ) -> None:
        inbox = transport.receiver(Address(topic), shared=False)
        elsewhere = Address(topic, 0 if inbox.address.partition else 1)

        self.send(transport, elsewhere, [Message(b"not mine")])
        self.send(transport, inbox.address, [Message(b"mine")])

        assert inbox.address.partition is not None
        assert [delivery.message.body for delivery in self.take(inbox, 1)] == [b"mine"]

    def test_an_inbox_opens_on_the_partition_asked_for(
        self, transport: Transport, topic: str
    ) -> None:
        addresses = [Address(topic, partition) for partition in (1, 0)]

        inboxes = [transport.receiver(address, shared=False) for address in addresses]

        assert [inbox.address for inbox in inboxes] == addresses

    def test_two_inboxes_on_one_partition_both_get_everything(
        self, connect: Callable[[], Transport], topic: str
    ) -> None:
        transport = connect()
        first = transport.receiver(Address(topic), shared=False)
        second = connect().receiver(first.address, shared=False)
        messages = [Message(b"%d" % n) for n in range(20)]

        self.send(transport, first.address, messages)
        by_first = self.take(first, 20)
        for delivery in by_first:
            delivery.ack()

        assert [delivery.message for delivery in by_first] == messages
        assert [delivery.message for delivery in self.take(second, 20)] == messages

    def test_an_inbox_is_not_bounded_by_what_it_does_not_acknowledge(
        self, transport: Transport, topic: str
    ) -> None:
        inbox = transport.receiver(Address(topic), shared=False)

        self.send(transport, inbox.address, [Message(b"%d" % n) for n in range(5_000)])
        arrived = self.take(inbox, 5_000)

        assert [delivery.message.body for delivery in arrived] == [b"%d" % n for n in range(5_000)]

    def test_an_inbox_on_a_partition_that_is_not_there_is_refused(
        self, transport: Transport, topic: str
    ) -> None:
        with pytest.raises(TransportError) as raised:
            transport.receiver(Address(topic, 1_000_000), shared=False)

        assert topic in str(raised.value)
