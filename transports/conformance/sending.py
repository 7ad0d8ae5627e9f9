"""Sending: what arrives, in what order, where, and what the sender is told."""

# ruff: noqa: S101 - asserts are what a test suite is made of

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

import pytest

from transports.base import Address, Delivery, Message, Receipt, Transport
from transports.conformance.harness import Harness, Sent, run_together
from transports.errors import AddressUnknown, MessageTooLarge, SendUncertain, TransportError

__all__ = ["SendingConformance"]

_ODD_BUT_LEGAL = (
    Message(b"plain"),
    Message(b""),
    Message(bytes(range(256)), key=bytes(range(256))),
    Message(b"no key", key=None),
    Message(b"empty key", key=b""),
    Message(b"null", headers=(("zero", b"\x00"), ("high", b"\xff\xfe"))),
    Message(b"empty value", headers=(("empty", b""),)),
    Message(b"empty name", headers=(("", b"value"),)),
    Message(b"order", headers=(("b", b"1"), ("a", b"2"), ("c", b"3"))),
    Message(b"twice", headers=(("same", b"first"), ("other", b"x"), ("same", b"last"))),
    Message(b"not ascii", headers=(("größe-大きさ", "größe-大きさ".encode()),)),
    Message(b"", headers=(("only", b"headers"),)),
    Message(b"many", headers=tuple((f"name-{n}", b"v" * n) for n in range(50))),
)


def _bodies_by_key(deliveries: Iterable[Delivery]) -> dict[bytes | None, list[bytes]]:
    bodies: dict[bytes | None, list[bytes]] = defaultdict(list)
    for delivery in deliveries:
        bodies[delivery.message.key].append(delivery.message.body)
    return bodies


class SendingConformance(Harness):
    """`Transport.send` and `Transport.prepare`."""

    def test_messages_are_equal_at_both_ends(self, transport: Transport, topic: str) -> None:
        inbox = transport.receiver(Address(topic), shared=False)

        self.send(transport, inbox.address, _ODD_BUT_LEGAL)
        arrived = self.take(inbox, len(_ODD_BUT_LEGAL))

        assert [delivery.message for delivery in arrived] == list(_ODD_BUT_LEGAL)
        assert [delivery.problem for delivery in arrived] == [None] * len(_ODD_BUT_LEGAL)

    def test_a_body_of_900_kb_is_equal_at_both_ends(self, transport: Transport, topic: str) -> None:
        inbox = transport.receiver(Address(topic), shared=False)
        body = bytes(n % 251 for n in range(900_000))

        self.send(transport, inbox.address, [Message(body), Message(b"next")])
        arrived = self.take(inbox, 2)

        # Compared outside the assert: the difference of two such bodies is nothing to print.
        equal = arrived[0].message == Message(body)
        assert equal, "the large message changed on its way"
        assert arrived[1].message == Message(b"next")

    def test_a_receipt_says_where_the_message_stands(
        self, transport: Transport, topic: str
    ) -> None:
        inbox = transport.receiver(Address(topic), shared=False)

        receipts = self.send(transport, inbox.address, [Message(b"a"), Message(b"b")])
        arrived = self.take(inbox, 2)

        assert receipts == [delivery.receipt for delivery in arrived]
        assert [Address(r.topic, r.partition) for r in receipts] == [inbox.address] * 2
        assert receipts[0].offset < receipts[1].offset

    def test_on_sent_is_called_exactly_once(
        self, connect: Callable[[], Transport], topic: str
    ) -> None:
        transport, sent = connect(), Sent()
        transport.prepare(Address(topic), self.patience)

        for n in range(200):
            partition = 1_000_000 if n % 10 == 0 else None
            transport.send(Address(topic, partition), Message(b"%d" % n), sent.expect())
        transport.close(self.patience)
        sent.outcomes(self.patience)

        assert sent.calls() == [1] * 200

    def test_a_partition_that_is_not_there_is_told_through_on_sent(
        self, transport: Transport, topic: str
    ) -> None:
        transport.prepare(Address(topic), self.patience)

        outcome = self.outcome(transport, Address(topic, 1_000_000), Message(b"lost"))

        assert isinstance(outcome, AddressUnknown)

    def test_a_message_too_large_is_told_and_harms_no_other(
        self, transport: Transport, topic: str
    ) -> None:
        inbox = transport.receiver(Address(topic), shared=False)

        # A transport without a bound of its own takes it, and must then deliver it.
        large = self.outcome(transport, inbox.address, Message(b"x" * 20_000_000))
        receipts = self.send(transport, inbox.address, [Message(b"next")])
        arrived = self.take(inbox, 2 if isinstance(large, Receipt) else 1)

        assert isinstance(large, Receipt | MessageTooLarge)
        assert arrived[-1].receipt == receipts[0]

    def test_messages_with_one_key_stay_in_order(self, transport: Transport, topic: str) -> None:
        receiver = transport.receiver(Address(topic), shared=True)
        keys = [b"", b"a", b"b", b"key", b"\xff" * 40]

        messages = [Message(b"%d" % n, key=key) for n in range(40) for key in keys]
        self.send(transport, Address(topic), messages)
        arrived = self.take_and_ack(receiver, len(messages))

        assert _bodies_by_key(arrived) == {key: [b"%d" % n for n in range(40)] for key in keys}

    def test_messages_to_one_partition_stay_in_order(
        self, transport: Transport, topic: str
    ) -> None:
        inbox = transport.receiver(Address(topic), shared=False)
        bodies = [b"%d" % n for n in range(300)]

        keys = [None, b"a", b"b"]
        messages = [Message(body, key=keys[n % 3]) for n, body in enumerate(bodies)]
        receipts = self.send(transport, inbox.address, messages)
        arrived = self.take(inbox, 300)

        assert [delivery.message.body for delivery in arrived] == bodies
        assert [receipt.offset for receipt in receipts] == sorted({r.offset for r in receipts})

    def test_one_key_goes_to_one_partition_whoever_sends(
        self, connect: Callable[[], Transport], topic: str
    ) -> None:
        first, second = connect(), connect()
        first.prepare(Address(topic), self.patience)
        messages = [Message(b"", key=b"key-%d" % n) for n in range(30)]

        by_first = self.send(first, Address(topic), messages + messages)
        by_second = self.send(second, Address(topic), messages)
        partitions = [receipt.partition for receipt in by_first]

        assert partitions[30:] == partitions[:30]
        assert [receipt.partition for receipt in by_second] == partitions[:30]
        assert len(set(partitions)) > 1

    def test_messages_without_a_key_are_spread(self, transport: Transport, topic: str) -> None:
        transport.prepare(Address(topic), self.patience)

        receipts = self.send(transport, Address(topic), [Message(b"x" * 200)] * 1200)
        shares = Counter(receipt.partition for receipt in receipts)

        assert max(shares.values()) <= 600
        assert len(shares) >= 3

    def test_partitions_to_avoid_are_avoided_as_long_as_there_are_others(
        self, transport: Transport, topic: str
    ) -> None:
        transport.prepare(Address(topic), self.patience)
        first = self.send(transport, Address(topic), [Message(b"")])[0].partition
        sent = Sent()

        for _ in range(60):
            transport.send(Address(topic), Message(b""), sent.expect(), avoid=(first,))
        elsewhere = {receipt.partition for receipt in sent.receipts(self.patience)}
        everywhere = self.outcome(transport, Address(topic), Message(b""), avoid=range(100_000))

        assert first not in elsewhere
        assert isinstance(everywhere, Receipt)

    def test_a_message_goes_where_its_key_says_though_that_is_to_be_avoided(
        self, transport: Transport, topic: str
    ) -> None:
        transport.prepare(Address(topic), self.patience)
        keyed = Message(b"", key=b"key")
        usual = self.send(transport, Address(topic), [keyed])[0].partition

        outcome = self.outcome(transport, Address(topic), keyed, avoid=(usual,))

        assert isinstance(outcome, Receipt)
        assert outcome.partition == usual

    def test_a_message_to_be_appended_once_arrives_once(
        self, transport: Transport, topic: str
    ) -> None:
        inbox = transport.receiver(Address(topic), shared=False)

        outcome = self.outcome(transport, inbox.address, Message(b"once"), once=True)
        self.send(transport, inbox.address, [Message(b"end")])
        arrived = self.take_until(inbox, b"end")

        assert isinstance(outcome, Receipt)
        assert [delivery.message.body for delivery in arrived] == [b"once"]

    def test_a_topic_is_prepared_for_dead_letters_too(
        self, transport: Transport, topic: str
    ) -> None:
        transport.prepare(Address(topic), self.patience, purpose="dead letters")

        assert self.send(transport, Address(topic), [Message(b"dead")])[0].topic == topic

    def test_many_threads_may_send(self, transport: Transport, topic: str) -> None:
        receiver = transport.receiver(Address(topic), shared=True)
        sent, names = Sent(), [b"thread-%d" % n for n in range(8)]

        def sender(name: bytes) -> Callable[[], None]:
            def send() -> None:
                for n in range(100):
                    transport.send(Address(topic), Message(b"%d" % n, key=name), sent.expect())

            return send

        run_together([sender(name) for name in names], self.patience)
        sent.receipts(self.patience)
        arrived = self.take_and_ack(receiver, 800)

        assert _bodies_by_key(arrived) == {name: [b"%d" % n for n in range(100)] for name in names}

    def test_what_one_transport_sends_another_receives(
        self, connect: Callable[[], Transport], topic: str
    ) -> None:
        here, there = connect(), connect()
        inbox = here.receiver(Address(topic), shared=False)

        self.send(there, inbox.address, [Message(b"hello")])

        assert [d.message.body for d in self.take(inbox, 1)] == [b"hello"]

    def test_prepare_may_be_repeated_and_run_by_many_at_once(
        self, connect: Callable[[], Transport], topic: str
    ) -> None:
        first, second = connect(), connect()

        def by_first() -> None:
            first.prepare(Address(topic), self.patience)

        def by_second() -> None:
            second.prepare(Address(topic), self.patience)

        run_together([by_first, by_second] * 3, self.patience)
        first.prepare(Address(topic, 0), self.patience)
        receipts = self.send(second, Address(topic, 0), [Message(b"ready")])

        assert receipts[0].topic == topic

    def test_prepare_raises_for_a_partition_that_is_not_there(
        self, transport: Transport, topic: str
    ) -> None:
        with pytest.raises(TransportError) as raised:
            transport.prepare(Address(topic, 1_000_000), self.patience)

        assert not isinstance(raised.value, SendUncertain)
        assert topic in str(raised.value)
