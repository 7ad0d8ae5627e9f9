"""Waiting, closing, and what a closed thing answers."""

# ruff: noqa: S101 - asserts are what a test suite is made of

import time
from collections.abc import Callable
from threading import Event, Thread

import pytest

from transports.base import Address, Message, Receiver, Transport
from transports.conformance.harness import Harness, Sent
from transports.errors import TransportClosed

__all__ = ["LifecycleConformance"]


class LifecycleConformance(Harness):
    """`Receiver.receive`, the two `close`, `Delivery.timestamp`, `Transport.client_id`."""

    def _wait_while(self, receiver: Receiver, act: Callable[[], None]) -> tuple[int, float]:
        """Receive with all patience while another thread acts; return how many came, and when."""
        waiting = Event()

        def act_then() -> None:
            waiting.wait(self.patience)
            act()

        other = Thread(target=act_then, daemon=True)
        other.start()
        begun = time.monotonic()
        waiting.set()
        arrived = len(receiver.receive(self.patience))
        elapsed = time.monotonic() - begun
        other.join(self.patience)
        return arrived, elapsed

    @pytest.mark.parametrize("shared", [True, False])
    def test_receive_returns_as_soon_as_something_arrives(
        self, transport: Transport, topic: str, *, shared: bool
    ) -> None:
        receiver = transport.receiver(Address(topic), shared=shared)

        def send() -> None:
            self.send(transport, receiver.address, [Message(b"now")])

        arrived, elapsed = self._wait_while(receiver, send)

        assert arrived == 1
        assert elapsed < self.patience / 2

    @pytest.mark.parametrize("shared", [True, False])
    def test_close_ends_a_receive_that_waits(
        self, transport: Transport, topic: str, *, shared: bool
    ) -> None:
        receiver = transport.receiver(Address(topic), shared=shared)

        arrived, elapsed = self._wait_while(receiver, lambda: receiver.close(self.patience))

        assert arrived == 0
        assert elapsed < self.patience / 2

    @pytest.mark.parametrize("shared", [True, False])
    def test_receive_waits_no_longer_than_asked(
        self, transport: Transport, topic: str, *, shared: bool
    ) -> None:
        receiver = transport.receiver(Address(topic), shared=shared)

        begun = time.monotonic()
        arrived = [*receiver.receive(0), *receiver.receive(0.2)]
        elapsed = time.monotonic() - begun

        assert arrived == []
        assert 0.15 <= elapsed < self.patience / 2

    @pytest.mark.parametrize("shared", [True, False])
    def test_a_closed_receiver_is_empty_and_closes_again(
        self, transport: Transport, topic: str, *, shared: bool
    ) -> None:
        receiver = transport.receiver(Address(topic), shared=shared)
        self.send(transport, receiver.address, [Message(b"too late")])

        receiver.close(self.patience)
        receiver.close(self.patience)
        begun = time.monotonic()
        arrived = list(receiver.receive(self.patience))

        assert arrived == []
        assert time.monotonic() - begun < self.patience / 2

    def test_a_closed_transport_tells_senders_through_on_sent(
        self, connect: Callable[[], Transport], topic: str
    ) -> None:
        transport = connect()
        transport.prepare(Address(topic), self.patience)
        transport.close(self.patience)

        outcome = self.outcome(transport, Address(topic), Message(b"too late"))

        assert isinstance(outcome, TransportClosed)

    def test_a_closed_transport_opens_and_prepares_nothing(
        self, connect: Callable[[], Transport], topic: str
    ) -> None:
        transport = connect()
        transport.close(self.patience)

        with pytest.raises(TransportClosed):
            transport.receiver(Address(topic), shared=True)
        with pytest.raises(TransportClosed):
            transport.receiver(Address(topic), shared=False)
        with pytest.raises(TransportClosed):
            transport.prepare(Address(topic), self.patience)

    def test_closing_a_transport_closes_its_receivers_within_the_timeout(
        self, connect: Callable[[], Transport], topic: str
    ) -> None:
        transport, other = connect(), connect()
        receivers = [transport.receiver(Address(topic), shared=shared) for shared in (True, False)]

        begun = time.monotonic()
        transport.close(10.0)
        transport.close(10.0)
        elapsed = time.monotonic() - begun
        for receiver in receivers:
            self.send(other, receiver.address, [Message(b"too late")])

        # Slack for a busy machine: what counts is that it does not go on without an end.
        assert elapsed < 15.0
        assert [list(receiver.receive(self.patience)) for receiver in receivers] == [[], []]

    def test_close_leaves_no_send_without_an_outcome(
        self, connect: Callable[[], Transport], topic: str
    ) -> None:
        transport, sent = connect(), Sent()
        inbox = connect().receiver(Address(topic), shared=False)

        for n in range(100):
            transport.send(inbox.address, Message(b"%d" % n), sent.expect())
        transport.close(self.patience)

        assert sent.calls() == [1] * 100

    def test_a_with_statement_closes(self, connect: Callable[[], Transport], topic: str) -> None:
        with connect() as transport:
            transport.prepare(Address(topic), self.patience)

        outcome = self.outcome(transport, Address(topic), Message(b"too late"))
        assert isinstance(outcome, TransportClosed)

    def test_age_is_the_time_since_the_message_was_appended(
        self, transport: Transport, topic: str
    ) -> None:
        inbox = transport.receiver(Address(topic), shared=False)

        begun = time.monotonic()
        self.send(transport, inbox.address, [Message(b"fresh")])
        delivery = self.take(inbox, 1)[0]
        age = (transport.now() or 0.0) - delivery.timestamp
        elapsed = time.monotonic() - begun

        # A tenth of a second for clocks that count milliseconds, and two that are not one.
        assert -0.1 <= age <= elapsed + 0.1

    def test_the_broker_s_time_is_known_from_the_first_receipt_on_and_passes(
        self, transport: Transport, topic: str
    ) -> None:
        transport.prepare(Address(topic), self.patience)
        self.send(transport, Address(topic, 0), [Message(b"")])
        begun, first = time.monotonic(), transport.now()
        idle = transport.receiver(Address(topic, 1), shared=False)
        idle.receive(0.3)
        elapsed, last = time.monotonic() - begun, transport.now()

        assert first is not None
        assert last is not None
        assert last - first == pytest.approx(elapsed, abs=0.1)

    def test_age_counts_the_wait_for_a_receiver(self, transport: Transport, topic: str) -> None:
        idle = transport.receiver(Address(topic, 1), shared=False)
        self.send(transport, Address(topic, 0), [Message(b"waiting")])

        assert list(idle.receive(0.5)) == []
        receiver = transport.receiver(Address(topic), shared=True)
        assert (transport.now() or 0.0) - self.take(receiver, 1)[0].timestamp >= 0.4

    def test_client_id_is_a_name(self, transport: Transport) -> None:
        assert isinstance(transport.client_id, str)
        assert transport.client_id
