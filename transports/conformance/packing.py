"""Messages that may share a record: each comes out by itself, whether they did or not."""

# ruff: noqa: S101 - asserts are what a test suite is made of

from collections.abc import Callable

from transports.base import Address, Delivery, Message, Transport
from transports.conformance.custody import Told
from transports.conformance.harness import Harness, Sent, run_together

__all__ = ["PackingConformance"]

_SHARED = (("content-type", b"application/json"), ("method", b"UserService.get"))


def _requests(count: int, begin: int = 0) -> list[Message]:
    """Return messages that are alike and not the same, some with a key."""
    return [
        Message(
            b"%d" % n,
            (*_SHARED, ("id", n.to_bytes(16, "big"))),
            None if n % 3 else b"key-%d" % (n % 2),
        )
        for n in range(begin, begin + count)
    ]


def _bodies(deliveries: list[Delivery]) -> list[bytes]:
    return [delivery.message.body for delivery in deliveries]


class PackingConformance(Harness):
    """`Transport.send` with `packed`."""

    def test_packed_messages_come_out_each_by_itself_and_equal(
        self, transport: Transport, topic: str
    ) -> None:
        receiver = transport.receiver(Address(topic), shared=True)
        sent = _requests(300)

        receipts = self.send(transport, Address(topic, 0), sent, packed=True)
        arrived = self.take_and_ack(receiver, 300)

        assert [delivery.message for delivery in arrived] == sent
        assert [delivery.receipt for delivery in arrived] == receipts
        assert len(set(receipts)) == 300
        assert [delivery.problem for delivery in arrived] == [None] * 300

    def test_a_private_inbox_gets_packed_messages_as_any(
        self, transport: Transport, topic: str
    ) -> None:
        inbox = transport.receiver(Address(topic), shared=False)
        sent = _requests(300)

        receipts = self.send(transport, inbox.address, sent, packed=True)
        arrived = self.take(inbox, 300)

        assert [delivery.message for delivery in arrived] == sent
        assert [delivery.receipt for delivery in arrived] == receipts

    def test_packed_messages_and_others_of_one_thread_stay_in_order(
        self, transport: Transport, topic: str
    ) -> None:
        inbox = transport.receiver(Address(topic), shared=False)
        sent, messages = Sent(), _requests(400)

        for n, message in enumerate(messages):
            transport.send(inbox.address, message, sent.expect(), packed=n % 5 > 0)
        sent.receipts(self.patience)

        assert _bodies(self.take(inbox, 400)) == [message.body for message in messages]

    def test_messages_with_one_key_stay_in_order_whoever_packs_them(
        self, transport: Transport, topic: str
    ) -> None:
        receiver = transport.receiver(Address(topic), shared=True)
        sent, names = Sent(), [b"thread-%d" % n for n in range(4)]

        def sender(name: bytes) -> Callable[[], None]:
            def send() -> None:
                for n in range(150):
                    message = Message(b"%d" % n, key=name)
                    transport.send(Address(topic), message, sent.expect(), packed=n % 4 > 0)

            return send

        run_together([sender(name) for name in names], self.patience)
        sent.receipts(self.patience)
        arrived = self.take_and_ack(receiver, 600)

        for name in names:
            mine = [d.message.body for d in arrived if d.message.key == name]
            assert mine == [b"%d" % n for n in range(150)]

    def test_a_message_that_is_to_be_appended_once_may_be_packed(
        self, transport: Transport, topic: str
    ) -> None:
        inbox = transport.receiver(Address(topic), shared=False)
        sent, messages = Sent(), _requests(60)

        for n, message in enumerate(messages):
            transport.send(
                inbox.address, message, sent.expect(), packed=True, once=n % 20 in {3, 4}
            )
        sent.receipts(self.patience)

        assert _bodies(self.take(inbox, 60)) == [message.body for message in messages]

    def test_what_is_not_acknowledged_comes_again_and_what_is_does_not(
        self, connect: Callable[[], Transport], topic: str
    ) -> None:
        first, second = connect(), connect()
        receiver = first.receiver(Address(topic), shared=True)
        self.send(first, Address(topic, 0), _requests(90), packed=True)
        taken = self.take(receiver, 90)

        for n, delivery in enumerate(taken):
            if n % 3:
                delivery.ack()
        receiver.close(self.patience)
        again = self.take(second.receiver(Address(topic), shared=True), 30)

        assert _bodies(again) == [b"%d" % n for n in range(0, 90, 3)]
        assert all(delivery.redelivered for delivery in again)

    def test_each_of_them_is_committed_by_itself(self, transport: Transport, topic: str) -> None:
        receiver = transport.receiver(Address(topic), shared=True)
        self.send(transport, Address(topic, 0), _requests(70), packed=True)
        taken = self.take(receiver, 70)
        told = [Told() for _ in range(3)]

        for each, place in zip(told, (5, 40, 69), strict=True):
            taken[place].ack()
            taken[place].commit(each.then)

        assert [each.wait(receiver, 1, self.patience) for each in told] == [[True]] * 3
        assert [delivery.acked for delivery in taken].count(True) == 3
