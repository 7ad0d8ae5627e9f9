"""What the conformance tests stand on: transports opened and closed, waits with a deadline."""

# ruff: noqa: S101 - asserts are what a test suite is made of

import os
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import pytest

from transports.base import Address, Delivery, Message, OnSent, Receipt, Receiver, Transport
from transports.errors import TransportError
from transports.registry import open_transport

__all__ = ["Harness", "Sent", "run_together"]

Outcome = Receipt | TransportError


class Sent:
    """What became of some sends: each outcome, in the order of the sends. Thread-safe."""

    def __init__(self) -> None:
        self._told = threading.Condition()
        self._outcomes: list[list[Outcome]] = []

    def expect(self) -> OnSent:
        """Return an `on_sent` for one more send."""
        outcomes: list[Outcome] = []

        def on_sent(outcome: Outcome) -> None:
            with self._told:
                outcomes.append(outcome)
                self._told.notify_all()

        with self._told:
            self._outcomes.append(outcomes)
        return on_sent

    def calls(self) -> list[int]:
        """Return how often each `on_sent` has been called."""
        with self._told:
            return [len(outcomes) for outcomes in self._outcomes]

    def outcomes(self, patience: float) -> list[Outcome]:
        """Wait until each send has an outcome, and return the first of each."""
        with self._told:
            all_told = self._told.wait_for(lambda: all(self._outcomes), patience)
            assert all_told, f"on_sent was not called within {patience} s for every send"
            return [outcomes[0] for outcomes in self._outcomes]

    def receipts(self, patience: float) -> list[Receipt]:
        """Wait until each send has an outcome, which must be a receipt."""
        outcomes = self.outcomes(patience)
        errors = [outcome for outcome in outcomes if not isinstance(outcome, Receipt)]
        assert not errors, f"{len(errors)} of {len(outcomes)} sends failed, first: {errors[0]!r}"
        return [outcome for outcome in outcomes if isinstance(outcome, Receipt)]


class Harness:
    """Fixtures and verbs of the conformance tests."""

    patience = 30.0
    """Seconds after which something that must happen counts as not happening."""

    @pytest.fixture
    def factory(self) -> Callable[[], Transport]:
        """Return what opens the transport under test; each call another object to one place."""
        url = os.environ.get("RPC_CONFORMANCE_URL")
        if not url:
            pytest.fail("set RPC_CONFORMANCE_URL to the URL of the transport under test")
        return lambda: open_transport(url)

    @pytest.fixture
    def connect(self, factory: Callable[[], Transport]) -> Iterator[Callable[[], Transport]]:
        """Yield `factory`, closing at the end what it opened."""
        opened: list[Transport] = []

        def connect() -> Transport:
            opened.append(factory())
            return opened[-1]

        yield connect
        for transport in opened:
            transport.close(self.patience)

    @pytest.fixture
    def transport(self, connect: Callable[[], Transport]) -> Transport:
        """Return one open transport."""
        return connect()

    @pytest.fixture
    def topic(self) -> str:
        """Return the name of a topic that nobody has used."""
        return f"conformance-{uuid.uuid4().hex[:12]}"

    def send(
        self,
        transport: Transport,
        address: Address,
        messages: Iterable[Message],
        *,
        packed: bool = False,
    ) -> list[Receipt]:
        """Send `messages` one after the other and wait until each has its receipt."""
        sent = Sent()
        for message in messages:
            transport.send(address, message, sent.expect(), packed=packed)
        return sent.receipts(self.patience)

    def outcome(
        self,
        transport: Transport,
        address: Address,
        message: Message,
        *,
        avoid: Collection[int] = (),
        once: bool = False,
        packed: bool = False,
    ) -> Outcome:
        """Send `message` and wait for what becomes of it."""
        sent = Sent()
        transport.send(address, message, sent.expect(), avoid=avoid, once=once, packed=packed)
        return sent.outcomes(self.patience)[0]

    def take(self, receiver: Receiver, count: int) -> list[Delivery]:
        """Receive until there are `count` deliveries, leaving them unacknowledged."""
        return self._receive(receiver, count, settle=False)

    def take_and_ack(self, receiver: Receiver, count: int) -> list[Delivery]:
        """Receive until there are `count` deliveries, acknowledging each as it comes.

        For counts that may be above the bound on what is unacknowledged.
        """
        return self._receive(receiver, count, settle=True)

    def _receive(self, receiver: Receiver, count: int, *, settle: bool) -> list[Delivery]:
        deliveries: list[Delivery] = []
        end = time.monotonic() + self.patience
        while len(deliveries) < count and (left := end - time.monotonic()) > 0:
            arrived = receiver.receive(left)
            deliveries += arrived
            for delivery in arrived if settle else ():
                delivery.ack()
        assert len(deliveries) >= count, (
            f"{len(deliveries)} of {count} messages arrived within {self.patience} s"
        )
        return deliveries

    def take_until(self, receiver: Receiver, marker: bytes) -> list[Delivery]:
        """Receive until a body equals `marker`, and return what came before it.

        Sent last to the same partition, the marker proves that nothing before it is missing: no
        waiting for what must not come.
        """
        deliveries: list[Delivery] = []
        end = time.monotonic() + self.patience
        while (left := end - time.monotonic()) > 0:
            deliveries += receiver.receive(left)
            for place, delivery in enumerate(deliveries):
                if delivery.message.body == marker:
                    return deliveries[:place]
        pytest.fail(f"a message sent last did not arrive within {self.patience} s")


def run_together(work: Sequence[Callable[[], None]], patience: float) -> None:
    """Run each of `work` in a thread of its own, all begun at once; the first error is raised."""
    begin = threading.Barrier(len(work))
    errors: list[BaseException] = []

    def run(one: Callable[[], None]) -> None:
        try:
            begin.wait(patience)
            one()
        except BaseException as error:  # raised again below, in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(one,), daemon=True) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience)
    assert not any(thread.is_alive() for thread in threads), f"not done within {patience} s"
    if errors:
        raise errors[0]
