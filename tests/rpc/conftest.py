"""What the tests of calling and serving share: a wire in the test's hands, and patience."""

import os
import threading
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Self

import pytest

from contracts import JSON, MSGPACK, Code, ErrorBody
from rpc.channel import Channel
from rpc.clock import ManualClock
from rpc.reply import Reply, decode_reply, reply_message
from rpc.request import Request, decode_request
from rpc.server import Server
from rpc.stub import Stub
from transports.base import (
    Address,
    Delivery,
    GroupState,
    Headers,
    Message,
    OnSent,
    Purpose,
    Receipt,
    Receiver,
    Unshared,
)
from transports.errors import TransportError
from transports.memory import MemoryTransport

PATIENCE = 20.0
"""Seconds after which something that must happen counts as not happening."""


class Sending(NamedTuple):
    """A message that was handed to the wire; the test says what became of it."""

    address: Address
    message: Message
    on_sent: OnSent
    avoid: frozenset[int] = frozenset()
    once: bool = False
    packed: bool = False

    def acknowledge(self, offset: int = 7, partition: int = 3) -> None:
        """Tell the sender that the message stands at `offset`."""
        self.on_sent(Receipt(self.address.topic, partition, offset))

    def fail(self, error: TransportError) -> None:
        """Tell the sender that the message was not sent."""
        self.on_sent(error)

    @property
    def headers(self) -> dict[str, bytes]:
        """The headers by name."""
        return dict(self.message.headers)

    @property
    def request(self) -> Request:
        """The message, read as a request."""
        request = decode_request(self.message)
        assert isinstance(request, Request)
        return request

    def reply(self, body: bytes, code: Code | None = None) -> Message:
        """Return a reply to this request, in JSON."""
        return reply_message(self.request, code, JSON.content_type, body)

    def error(self, code: Code, certainty: str, name: str = "", message: str = "told") -> Message:
        """Return an error reply to this request."""
        return self.reply(JSON.encode(ErrorBody(code.value, name, message, {}, certainty)), code)


class WireInbox:
    """The private inbox of a wire: holds what the test puts into it."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.closed = False
        self._changed = threading.Condition()
        self._waiting: list[Message | TransportError] = []

    def put(self, *messages: Message | TransportError) -> None:
        """Let `messages` arrive; an error is raised by `receive`."""
        with self._changed:
            self._waiting.extend(messages)
            self._changed.notify_all()

    def receive(self, max_wait: float) -> Sequence[Delivery]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.closed, max_wait)
            waiting, self._waiting = self._waiting, []
        deliveries = []
        for place, message in enumerate(waiting):
            if isinstance(message, TransportError):
                self.put(*waiting[place + 1 :])
                raise message
            receipt = Receipt(self.address.topic, 0, place)
            deliveries.append(Delivery(message, receipt, 0.0, Unshared()))
        return deliveries

    def close(self, timeout: float) -> None:
        with self._changed:
            self.closed = True
            self._changed.notify_all()


class Wire:
    """A transport in the test's hands: what is sent waits in `sent`, what is put in arrives.

    `opens` is what `receiver` does first, and `prepares` what `prepare` does: to wait, or to raise.
    """

    client_id = "app"

    def __init__(self) -> None:
        self.sent: list[Sending] = []
        self.prepared: list[Address] = []
        self.inbox = WireInbox(Address("rpc.replies.app", 2))
        self.opens: Callable[[], object] = lambda: None
        self.prepares: Callable[[], object] = lambda: None
        self.on_send: Callable[[Sending], object] = lambda _sending: None
        self.time: float | None = 100.0
        self.groups: Callable[[], GroupState] = lambda: GroupState(1, {})
        self.frames = False
        self.worth_a_request = 16
        self.opened = 0
        self.closed = 0

    @property
    def last(self) -> Sending:
        """What was sent last."""
        return self.sent[-1]

    def now(self) -> float | None:
        return self.time

    def group(self, topic: str, timeout: float) -> GroupState:
        return self.groups()

    def prepare(self, address: Address, timeout: float, *, purpose: Purpose = "requests") -> None:
        self.prepares()
        self.prepared.append(address)

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
        sending = Sending(address, message, on_sent, frozenset(avoid), once, packed)
        self.sent.append(sending)
        self.on_send(sending)

    def receiver(self, address: Address, *, shared: bool) -> Receiver:
        self.opened += 1
        self.opens()
        return self.inbox

    def close(self, timeout: float) -> None:
        self.closed += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(5.0)


class Line:
    """A client of one contract over a wire, stepped by the test on a clock of its own."""

    def __init__(self, contract, wire: Wire, clock: ManualClock, **options) -> None:
        options.setdefault("rng", lambda: 0.5)
        self.wire = wire
        self.clock = clock
        self.channel = Channel(wire, clock=clock, threads=False, **options)
        self.client = Stub(contract, channel=self.channel)

    def arrive(self, *messages: Message) -> None:
        """Let replies arrive, and the client take them."""
        self.wire.inbox.put(*messages)
        self.channel.step()

    def advance(self, seconds: float) -> None:
        """Let time pass, and what is due happen."""
        self.clock.advance(seconds)
        self.channel.step()


class Desk:
    """A server in the test's hands: messages go in, replies come out, on a clock of its own."""

    def __init__(self, clock: ManualClock, *implementations: object, **options) -> None:
        self.clock = clock
        self.transport = MemoryTransport(uuid.uuid4().hex, clock=clock, partitions=1)
        self.inbox = self.transport.receiver(Address("rpc.replies.test"), shared=False)
        self.server = Server(
            *implementations, transport=self.transport, clock=clock, threads=False, **options
        ).start()
        self._requests = Address(f"{self.server.services[0].full_name}.requests")

    def put(self, *messages: Message) -> None:
        """Put `messages` into the topic of the first service."""
        for message in messages:
            outcomes: list[object] = []
            self.transport.send(self._requests, message, outcomes.append)
            assert isinstance(outcomes[0], Receipt), outcomes

    def replies(self) -> list[Message]:
        """Let the server take what has come, and return what it has answered."""
        self.server.step()
        return [delivery.message for delivery in self.inbox.receive(0)]

    def ask(self, message: Message) -> Reply:
        """Return the one reply to `message`, which must leave nothing unsettled."""
        self.put(message)
        (answer,) = self.replies()
        assert self.server.in_flight == 0
        return decode_reply(answer)

    def error(self, message: Message) -> ErrorBody:
        """Return the error that is the reply to `message`."""
        reply = self.ask(message)
        codec = MSGPACK if reply.content_type == b"application/msgpack" else JSON
        error = codec.decoder(ErrorBody)(reply.body)
        assert reply.code == error.code
        return error

    def close(self) -> None:
        """Stop the server."""
        self.server.stop(0)
        self.transport.close(1.0)


@pytest.fixture
def desk(clock):
    """Return what makes a server that is stepped by the test; closed at the end."""
    made: list[Desk] = []

    def make(*implementations: object, **options) -> Desk:
        made.append(Desk(clock, *implementations, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def patience() -> float:
    return PATIENCE


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def line(wire, clock):
    """Return what makes a stepped client of a contract over the wire; closed at the end."""
    made: list[Line] = []

    def make(contract, **options) -> Line:
        made.append(Line(contract, wire, clock, **options))
        return made[-1]

    yield make
    for each in made:
        each.channel.close()


@pytest.fixture
def memory_url() -> str:
    """A broker in memory that no other test uses."""
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def await_true():
    """Return what gives way to other threads until a condition holds."""

    def wait(condition: Callable[[], object]) -> None:
        ends = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < ends, "it does not come true"
            os.sched_yield()

    return wait


@pytest.fixture
def run_together():
    """Return what runs functions at once, each on a thread, and re-raises what one raised."""

    def run(*works: Callable[[], object]) -> list[object]:
        start = threading.Barrier(len(works))
        outcomes: list[object] = [None] * len(works)
        errors: list[BaseException] = []

        def work(place: int) -> None:
            try:
                start.wait(PATIENCE)
                outcomes[place] = works[place]()
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(len(works))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in threads), "a thread has not ended"
        if errors:
            raise errors[0]
        return outcomes

    return run


@pytest.fixture
def request_of():
    """Return what makes a request message by hand, with each header as it is given."""

    def make(body: bytes = b"{}", key: bytes | None = None, **changed: bytes | None) -> Message:
        headers: dict[str, bytes | None] = {
            "kafka_correlationId": b"0123456789abcdef",
            "kafka_replyTopic": b"rpc.replies.test",
            "content-type": b"application/json",
            "rpc-timeout": b"5000",
        }
        named = {name.replace("_", "-"): value for name, value in changed.items()}
        short = {
            "call": "kafka_correlationId",
            "reply-topic": "kafka_replyTopic",
            "reply-partition": "kafka_replyPartition",
            "method": "rpc-method",
            "client": "rpc-client",
            "timeout": "rpc-timeout",
            "attempt": "rpc-attempt",
            "kind": "rpc-kind",
            "version": "rpc-version",
        }
        headers |= {short.get(name, name): value for name, value in named.items()}
        given: Headers = tuple((n, v) for n, v in headers.items() if v is not None)
        return Message(body, given, key)

    return make
