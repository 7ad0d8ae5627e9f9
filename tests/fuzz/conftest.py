"""Fuzzing: a server and a client that are stepped, and how hard they are tried.

`RPC_FUZZ_EXAMPLES` multiplies the examples of each test; `make fuzz MINUTES=10` sets it, and
repeats.
"""

import datetime as dt
import os
import time
import uuid
from typing import Literal, Protocol

import msgspec
import pytest
from hypothesis import HealthCheck, settings

import transports.kafka.driver  # noqa: F401 - imports kafka-python without its warnings
from rpc import method
from rpc.server import Server
from transports.base import Address, Message, Receipt
from transports.memory import MemoryTransport

settings.register_profile(
    "fuzz",
    max_examples=int(400 * float(os.environ.get("RPC_FUZZ_EXAMPLES", "1"))),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Tree(msgspec.Struct):
    name: str = ""
    branches: list["Tree"] = []


class Cat(msgspec.Struct, tag=True, frozen=True):
    lives: int


class Dog(msgspec.Struct, tag=True, frozen=True):
    name: str


class Odds(Protocol):
    """A contract of many kinds of values."""

    @method
    def whole(self, x: int, y: float = 0.5) -> int: ...

    @method
    def tree(self, tree: Tree) -> str: ...

    @method
    def bag(self, ids: set[uuid.UUID], sizes: dict[int, str]) -> list[uuid.UUID]: ...

    @method
    def when(self, at: dt.datetime | None, raw: bytes, level: Literal["a", "b"]) -> bytes: ...

    @method
    def pet(self, pet: Cat | Dog, *, many: tuple[Cat, ...] = ()) -> Cat | Dog: ...


class OddsImpl(Odds):
    def whole(self, x: int, y: float = 0.5) -> int:
        return x

    def tree(self, tree: Tree) -> str:
        return tree.name

    def bag(self, ids: set[uuid.UUID], sizes: dict[int, str]) -> list[uuid.UUID]:
        return sorted(ids)

    def when(self, at: dt.datetime | None, raw: bytes, level: Literal["a", "b"]) -> bytes:
        return raw

    def pet(self, pet: Cat | Dog, *, many: tuple[Cat, ...] = ()) -> Cat | Dog:
        return pet


class WatchedTransport(MemoryTransport):
    """A broker that notes where is sent."""

    def __init__(self) -> None:
        super().__init__(uuid.uuid4().hex, partitions=1, max_message_bytes=4 << 20)
        self.topics: set[str] = set()

    def send(self, address, message, on_sent, /, **options) -> None:
        self.topics.add(address.topic)
        super().send(address, message, on_sent, **options)


class Counter:
    """A server of `Odds`: what is put in is taken at once, and answered, kept or dropped."""

    def __init__(self) -> None:
        self.transport = WatchedTransport()
        self.inbox = self.transport.receiver(Address("rpc.replies.test"), shared=False)
        self.server = Server(OddsImpl(), transport=self.transport, threads=False).start()
        self.topic = f"{self.server.services[0].full_name}.requests"

    def serve(self, message: Message) -> list[Message]:
        """Let the server take `message`, settle it in 2 s of work, and return its replies."""
        outcomes: list[object] = []
        self.transport.send(Address(self.topic), message, outcomes.append)
        assert isinstance(outcomes[0], Receipt), outcomes
        self.transport.topics.clear()
        began = time.thread_time()
        assert self.server.step() == 1
        assert time.thread_time() - began < 2.0
        assert self.server.in_flight == 0
        return [delivery.message for delivery in self.inbox.receive(0)]

    def close(self) -> None:
        self.server.stop(0)
        self.transport.close(1.0)


@pytest.fixture(scope="module")
def counter():
    made = Counter()
    yield made
    made.close()


@pytest.fixture(scope="module")
def request_of():
    """Return what makes a request of a method, sound but for what is given."""

    def make(body: bytes, method: str = "whole", content_type: str = "application/json") -> Message:
        headers = (
            ("kafka_correlationId", uuid.uuid4().bytes),
            ("kafka_replyTopic", b"rpc.replies.test"),
            ("content-type", content_type.encode()),
            ("rpc-version", b"1"),
            ("rpc-kind", b"request"),
            ("rpc-method", f"Odds.{method}".encode()),
            ("rpc-client", b"c0ffee00c0ffee00"),
            ("rpc-timeout", b"5000"),
        )
        return Message(body, headers, None)

    return make


@pytest.fixture(scope="session")
def contract():
    return Odds
