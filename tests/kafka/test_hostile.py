"""Hostile records on a real broker: bombs and poison harm nobody, and followers come in time."""

import time
import zlib

import pytest
from kafka import KafkaProducer
from kafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from transports.base import Address, Message
from transports.kafka.driver import unpack
from transports.kafka.driver.fetch import TolerantRecords

BOMB = bytes(32 << 20)  # more than is unpacked, and no burden for a broker with a small heap
SOON = 1.0


@pytest.fixture
def throw(bootstrap):
    """Return what writes a record of 32 MiB, packed by gzip to as good as nothing."""
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type="gzip",
        max_request_size=1 << 28,
        request_timeout_ms=60_000,
        retries=0,
    )

    def send(topic: str) -> int:
        return producer.send(topic, BOMB, partition=0).get(timeout=60).offset

    yield send
    producer.close(timeout=1)


@pytest.fixture
def served(kit, outcome_of, taken):
    """Return a topic, what sends there, and a receiver that is a member of its group."""
    topic, sender = kit.topic(1), kit.transport(client_id="sender")
    receiver = kit.transport().receiver(Address(topic), shared=True)

    def send(*messages: Message) -> None:
        for message in messages:
            outcome_of(sender, Address(topic, 0), message)

    send(Message(b"first"))
    taken(receiver, 1)
    return topic, send, receiver


def test_a_topic_of_ours_takes_no_bomb(kit, throw, topic_prefix):
    topic = f"{topic_prefix}.requests"
    kit.transport(partitions=1).prepare(Address(topic), 20)

    with pytest.raises((MessageSizeTooLargeError, RecordListTooLargeError)):
        throw(topic)


@pytest.mark.alone
def test_a_bomb_in_a_topic_of_others_is_stepped_over_and_its_followers_come_in_time(
    served, throw, taken, monkeypatch
):
    topic, send, receiver = served
    sizes = []
    monkeypatch.setattr(zlib, "decompressobj", _watched(zlib.decompressobj, sizes))
    throw(topic)
    began = time.monotonic()
    send(Message(b"behind"))
    (behind,) = taken(receiver, 1)

    assert behind.message.body == b"behind"
    assert time.monotonic() - began < SOON
    assert 0 < max(sizes) <= unpack.LIMIT + 1


def _watched(decompressobj, sizes):
    class Watched:
        def __init__(self, bits: int) -> None:
            self._inner = decompressobj(bits)

        def decompress(self, packed: bytes, size: int) -> bytes:
            data = self._inner.decompress(packed, size)
            sizes.append(len(data))
            return data

        def __getattr__(self, name: str):
            return getattr(self._inner, name)

    return Watched


@pytest.mark.alone
def test_a_batch_that_fails_its_checksum_holds_its_followers_up_for_less_than_a_second(
    served, taken, monkeypatch
):
    _, send, receiver = served

    def wanted(self, batch, stock=TolerantRecords._wanted):
        if batch.base_offset == 1:
            batch._buffer[-1] ^= 0xFF
        return stock(self, batch)

    monkeypatch.setattr(TolerantRecords, "_wanted", wanted)
    send(Message(b"damaged"))
    began = time.monotonic()
    send(Message(b"behind"))
    (behind,) = taken(receiver, 1)

    assert behind.message.body == b"behind"
    assert time.monotonic() - began < SOON


@pytest.mark.alone
def test_odd_headers_hold_nobody_up(served, taken, raw_name):
    _, send, receiver = served
    odd = (
        Message(b"", ((raw_name(b"\xff\xfe"), b"x"),)),
        Message(b"", tuple((f"h{n}", b"x") for n in range(1000))),
        Message(b"", (("h", bytes(63 << 10)),)),
        Message(b"", (("", b""),) * 5000),
    )
    began = time.monotonic()
    send(*odd, Message(b"behind"))
    got = taken(receiver, 5)

    assert time.monotonic() - began < SOON
    assert got[-1].message.body == b"behind"
    assert [delivery.problem is None for delivery in got] == [False, True, True, True, True]
    assert [len(delivery.message.headers) for delivery in got] == [0, 1000, 1, 5000, 0]
