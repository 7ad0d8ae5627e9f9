"""What the tests of the Kafka transport share: topics, raw clients, waiting for outcomes."""

import json
import os
import queue
import signal
import subprocess
import sys
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


QUICK = {"heartbeat_interval": 0.2, "session_timeout": 1.5, "commit_interval": 0.1}

MEMBER = """
import json, sys, threading
from transports.base import Address
from transports.kafka import open_transport

url, topic, count = sys.argv[1:4]
receiver = open_transport(url).receiver(Address(topic), shared=True)
got, answers = [], threading.Semaphore(0)

def listen():
    for line in sys.stdin:
        word, *places = line.split()
        chosen = [d for d in got if str(place(d)) in places]
        if word == "owned":
            say([d.owned for d in chosen])
        elif word == "kill":
            import os
            os.kill(os.getpid(), 9)
        for d in chosen:
            if word == "ack":
                d.ack()
            elif word == "begin":
                d.begin()
            elif word == "commit":
                def then(kept, d=d):
                    say(["told", place(d), kept])
                d.commit(then)
        if word in {"ack", "begin"}:
            say("done")

def place(d):
    return f"{d.receipt.offset}.{d.receipt.part}" if d.receipt.part else d.receipt.offset

def say(what):
    print(json.dumps(what), flush=True)

while len(got) < int(count):
    got += receiver.receive(1)
say([[place(d), d.redelivered, d.crashes] for d in got])
threading.Thread(target=listen, daemon=True).start()
while True:
    receiver.receive(1)
"""


class Process:
    """A member in a process of its own, which does as it is told.

    A message is named by its offset, or as `offset.part`.
    """

    def __init__(self, bootstrap, topic, count, **config):
        settings = {**QUICK, **config}
        url = f"kafka://{bootstrap}?" + "&".join(f"{k}={v}" for k, v in settings.items())
        self._process = subprocess.Popen(
            [sys.executable, "-c", MEMBER, url, topic, str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self._said = queue.Queue()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self):
        for line in self._process.stdout:
            self._said.put(json.loads(line))

    def say(self, word, *places):
        print(word, *places, file=self._process.stdin, flush=True)

    def hear(self, patience=30):
        return self._said.get(timeout=patience)

    def ask(self, word, *places):
        self.say(word, *places)
        return self.hear()

    def signal(self, number):
        self._process.send_signal(number)

    def kill(self):
        if self._process.poll() is None:
            self.signal(signal.SIGKILL)
        self._process.wait()
        self._reading.join(10)
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture
def process(kit):
    started = []

    def start(topic, count, **config):
        started.append(Process(kit.bootstrap, topic, count, **config))
        return started[-1]

    yield start
    for one in started:
        one.kill()


@pytest.fixture
def committed(kit):
    """Tell the group's committed offsets by partition, as the broker has them."""

    def look(topic):
        found = kit.admin.list_group_offsets(topic)[topic]
        return {tp.partition: offset.offset for tp, offset in found.items()}

    return look
