"""What the tests of the Kafka transport share: topics, raw clients, waiting for outcomes."""

import os
import queue
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import transports.kafka.driver  # noqa: F401 - imports kafka-python without its warnings
from transports.base import Address, Message, Receipt
from transports.errors import TransportError
from transports.kafka import KafkaConfig, KafkaTransport


class Kit:
    """One transport's worth of helpers on one broker; closes what it opened."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._open: list[KafkaTransport] = []
        self._admin = None

    @property
    def admin(self):
        from kafka import KafkaAdminClient

        if self._admin is None:
            self._admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        return self._admin

    def transport(self, **config: object) -> KafkaTransport:
        given = {"bootstrap": (self.bootstrap,), "client_id": "test", **config}
        transport = KafkaTransport(KafkaConfig(**given))  # type: ignore[arg-type]
        self._open.append(transport)
        return transport

    def topic(self, partitions: int = 1, **configs: str) -> str:
        """Create a topic and wait until it has leaders."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        settings = {key.replace("_", "."): value for key, value in configs.items()}
        wanted = {"num_partitions": partitions, "replication_factor": 1, "configs": settings}
        self.admin.create_topics({name: wanted}, wait_for_metadata=True)
        return name

    def close(self) -> None:
        for transport in self._open:
            transport.close(5)
        if self._admin is not None:
            self._admin.close()


class RawName(str):
    """A header name whose bytes are what we say: kafka-python's builder calls `encode`."""

    __slots__ = ("raw",)

    def __new__(cls, raw: bytes):
        name = super().__new__(cls, "?" * len(raw))
        name.raw = raw
        return name

    def encode(self, *_: object) -> bytes:
        return self.raw


@pytest.fixture
def raw_name():
    """Make a header name of any bytes, which brokers accept and kafka-python can't read."""
    return RawName


@pytest.fixture
def kit(bootstrap: str) -> Iterator[Kit]:
    made = Kit(bootstrap)
    yield made
    made.close()


@pytest.fixture
def freeze(eventually) -> Iterator[Callable[[int], None]]:
    """Stop a process, wait until none of its threads runs, and let it go on after the test."""
    stopped: list[int] = []

    def stopped_all(pid: int) -> bool:
        stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
        return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)

    def stop(pid: int) -> None:
        stopped.append(pid)
        os.kill(pid, signal.SIGSTOP)
        eventually(lambda: stopped_all(pid), every=0.001)

    yield stop
    for pid in stopped:
        with suppress(ProcessLookupError):  # it may have ended with the test
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def outcome_of() -> Callable[..., Receipt | TransportError]:
    """Send one message and wait for what becomes of it."""

    def send(
        transport: KafkaTransport, address: Address, message: Message, patience: float = 20
    ) -> Receipt | TransportError:
        told: queue.Queue[Receipt | TransportError] = queue.Queue()
        transport.send(address, message, told.put)
        return told.get(timeout=patience)

    return send


@pytest.fixture
def eventually() -> Callable[..., object]:
    """Wait until a condition is true; fail with what it was at the end."""

    def wait(condition: Callable[[], object], patience: float = 20, every: float = 0.02) -> object:
        deadline = time.monotonic() + patience
        pause = threading.Event()
        while not (value := condition()):
            assert time.monotonic() < deadline, f"not within {patience} s: {condition}, {value!r}"
            pause.wait(every)
        return value

    return wait


@pytest.fixture
def taken() -> Callable[..., list]:
    """Receive until so many deliveries have come, acknowledging them or not."""

    def take(receiver, count: int, patience: float = 20, *, ack: bool = True) -> list:
        deadline, got = time.monotonic() + patience, []
        while len(got) < count:
            assert time.monotonic() < deadline, f"{len(got)} of {count} came"
            arrived = receiver.receive(0.5)
            got.extend(arrived)
            for delivery in arrived if ack else ():
                delivery.ack()
        return got

    return take
