"""Batches whose library this process lacks, on a real broker: they are whole, and are not lost."""

import uuid
from typing import Protocol

import confluent_kafka
import pytest
from structlog.testing import capture_logs

from rpc import Server, method, service
from transports.base import Address, Message
from transports.errors import ConfigurationError
from transports.kafka.driver import unpack

LACKS = "compressed with zstd, and the package zstandard is not installed: pip install zstandard"
QUICK = {"commit_interval": 0.1, "poll_timeout": 0.1}


@pytest.fixture
def write_zstd(bootstrap, monkeypatch):
    """Return what writes bodies as one batch, by a client that brings the codec we are without."""
    monkeypatch.setattr(unpack.codec, "zstd", None)

    def write(topic: str, *bodies: bytes) -> None:
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": bootstrap, "compression.type": "zstd", "linger.ms": 100}
        )
        for body in bodies:
            producer.produce(topic, body, partition=0)
        assert producer.flush(20) == 0

    return write


def test_a_member_without_the_library_says_so_and_leaves_the_batch_to_one_that_has_it(
    kit, write_zstd, outcome_of, taken, committed
):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    outcome_of(transport, Address(topic, 0), Message(b"first"))
    write_zstd(topic, *(bytes(1000) + b"%d" % n for n in range(5)))
    outcome_of(transport, Address(topic, 0), Message(b"last"))
    receiver = transport.receiver(Address(topic), shared=True)
    taken(receiver, 1)
    for _ in range(5):  # more often than what is damaged is tried
        with pytest.raises(ConfigurationError, match=f"{topic}/0 can't be read .* {LACKS}"):
            taken(receiver, 1)
    receiver.close(5)

    assert committed(topic) == {0: 1}
    other = kit.transport(client="confluent").receiver(Address(topic), shared=True)
    assert [delivery.message.body[-1:] for delivery in taken(other, 6)] == [
        *(b"%d" % n for n in range(5)),
        b"t",
    ]


def test_a_server_without_the_library_stops_and_says_why(kit, write_zstd, committed):
    name = f"clock-{uuid.uuid4().hex[:8]}"
    topic = f"{name}.requests"

    @service(name=name)
    class Clock(Protocol):
        @method
        def now(self) -> int: ...

    class ClockImpl(Clock):
        def now(self) -> int:
            return 0

    kit.admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    with Server(ClockImpl(), transport=kit.transport(**QUICK)) as server:
        write_zstd(topic, bytes(1000), bytes(1000))
        assert server.wait(20)

    assert isinstance(server.failure, ConfigurationError)
    assert LACKS in str(server.failure)
    assert committed(topic) == {0: 0}


def test_an_inbox_without_the_library_says_so_and_reads_what_comes_behind(
    kit, write_zstd, outcome_of, taken
):
    topic, transport = kit.topic(1), kit.transport()
    inbox = transport.receiver(Address(topic, 0), shared=False)
    write_zstd(topic, bytes(1000), bytes(1000))
    outcome_of(transport, Address(topic, 0), Message(b"behind"))
    with capture_logs() as logs:
        (behind,) = taken(inbox, 1)

    assert behind.message.body == b"behind"
    (skipped,) = [each for each in logs if each["event"] == "kafka.batch_skipped"]
    assert LACKS in skipped["why"]
