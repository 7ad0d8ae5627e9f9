"""Messages in chunks on a real broker: whole or not at all, settled as one, whoever dies."""

import queue
import threading
import time
from typing import Protocol

import pytest
from confluent_kafka import Producer

from rpc import Certainty, Channel, RpcError, Server, Stub, method, service
from transports.base import Address, Message, Receipt
from transports.errors import MessageTooLarge
from transports.kafka.chunks import split

TEN = 10_000_000
MANY = 64 * 1024 * 1024
CHUNKED = {"max_chunked_bytes": MANY}
SMALL = {"max_message_bytes": 1000, "max_chunked_bytes": 20_000}
QUICK = {"heartbeat_interval": 0.2, "session_timeout": 1.5, "commit_interval": 0.1}
LARGE = Message(b"x" * 5000, (("a", b"b"),), b"key")
BOTH = pytest.mark.parametrize("client", ["kafka-python", "confluent"])


@pytest.fixture
def contract(topic_prefix):
    """A service of which only this test knows, and an implementation that answers its argument."""

    @service(name=topic_prefix)
    class Echo(Protocol):
        @method(timeout=60.0)
        def echo(self, text: str) -> str: ...

        @method(timeout=60.0, delivery="at_most_once")
        def once(self, text: str) -> str: ...

    class EchoImpl(Echo):
        def echo(self, text: str) -> str:
            return text

        def once(self, text: str) -> str:
            return text

    return Echo, EchoImpl


def pieces(name, count=3):
    """Return the chunks of a message whose body is its name, again and again."""
    chunks = split(Message(name * (700 * count)), name.hex().rjust(16, "0"), 1000)
    assert len(chunks) == count
    return chunks


@pytest.fixture
def stored(outcome_of):
    """Store messages in partition 0, and return their offsets."""

    def store(transport, topic, *messages):
        outcomes = [outcome_of(transport, Address(topic, 0), one) for one in messages]
        return [outcome.offset for outcome in outcomes]

    return store


@BOTH
@pytest.mark.parametrize("mode", ["echo", "once"])
def test_ten_megabytes_go_and_come_in_chunks_where_that_is_asked_for(kit, contract, client, mode):
    echo, implementation = contract
    serving, calling = kit.transport(client=client, **CHUNKED), kit.transport(**CHUNKED)
    with (
        Server(implementation(), transport=serving, max_body_bytes=MANY),
        Channel(calling, max_body_bytes=MANY) as channel,
    ):
        text = "0123456789" * (TEN // 10)
        stub = Stub(echo, channel=channel)
        call = getattr(stub, mode).future(text)

        assert call.result() == text
        assert call.sent.result().offset >= 9
        assert getattr(stub, mode)("small") == "small"


def test_a_service_that_is_not_asked_to_says_why_a_result_is_too_large(kit, contract):
    echo, implementation = contract
    with (
        Server(implementation(), transport=kit.transport(), max_body_bytes=MANY),
        Channel(kit.transport(**CHUNKED), max_body_bytes=MANY) as channel,
        pytest.raises(RpcError, match="max_chunked_bytes") as refused,
    ):
        Stub(echo, channel=channel).echo("x" * TEN)

    assert refused.value.certainty is Certainty.EXECUTED


@BOTH
def test_chunks_go_to_who_was_prepared_or_packs_and_to_no_other(kit, outcome_of, taken, client):
    transport, topic = kit.transport(client=client, **SMALL), kit.topic(1)
    refused = outcome_of(transport, Address(topic, 0), LARGE)
    assert isinstance(refused, MessageTooLarge)
    assert "max_message_bytes is 1000" in str(refused)
    packed = queue.Queue()
    transport.send(Address(topic, 0), LARGE, packed.put, packed=True)
    assert packed.get(timeout=20) == Receipt(topic, 0, 6)
    transport.prepare(Address(topic), 20.0)
    assert outcome_of(transport, Address(topic, 0), LARGE) == Receipt(topic, 0, 13)
    beyond = outcome_of(transport, Address(topic, 0), Message(b"x" * 20_000))
    assert isinstance(beyond, MessageTooLarge)
    assert "max_chunked_bytes is 20000" in str(beyond)

    receiver = kit.transport(client=client, **QUICK).receiver(Address(topic), shared=True)
    assert [one.message for one in taken(receiver, 2)] == [LARGE, LARGE]


@BOTH
def test_an_inbox_gets_messages_whole_and_none_that_began_before_it(kit, stored, taken, client):
    transport, topic = kit.transport(client=client, **SMALL), kit.topic(1)
    transport.prepare(Address(topic), 20.0)
    before = pieces(b"a")
    stored(transport, topic, before[0])
    inbox = kit.transport(client=client).receiver(Address(topic, 0), shared=False)
    stored(transport, topic, *before[1:], LARGE, Message(b"small"))

    assert [one.message for one in taken(inbox, 2)] == [LARGE, Message(b"small")]


def test_what_one_thread_sends_stays_in_order(kit, taken):
    transport, topic = kit.transport(**SMALL), kit.topic(1)
    transport.prepare(Address(topic), 20.0)
    sent = [Message(b"%d" % n * (2000 if n % 3 == 0 else 1), key=b"k") for n in range(30)]
    told = threading.Semaphore(0)
    for n, message in enumerate(sent):
        packed = n % 2 == 0
        transport.send(Address(topic), message, lambda _: told.release(), packed=packed)
    for _ in sent:
        assert told.acquire(timeout=20)
    receiver = transport.receiver(Address(topic), shared=True)

    assert [one.message for one in taken(receiver, 30)] == sent


@BOTH
def test_chunks_of_two_senders_stand_between_each_other(kit, stored, taken, client):
    transport, topic = kit.transport(client=client), kit.topic(1)
    mixed = [piece for pair in zip(pieces(b"a"), pieces(b"b"), strict=True) for piece in pair]
    stored(transport, topic, *mixed, mixed[0], mixed[5])
    receiver = transport.receiver(Address(topic), shared=True)

    assert [one.message.body[:1] for one in taken(receiver, 2)] == [b"a", b"b"]


@BOTH
def test_an_acknowledgement_settles_all_chunks_for_good(kit, stored, taken, committed, client):
    transport, topic = kit.transport(client=client, **QUICK), kit.topic(1)
    receiver = transport.receiver(Address(topic), shared=True)
    first, second = pieces(b"a"), pieces(b"b")
    stored(transport, topic, first[0], *second[:2], *first[1:], second[2])
    whole, other = taken(receiver, 2, ack=False)
    kept = queue.Queue()
    other.ack()
    other.commit(kept.put)
    deadline = time.monotonic() + 20
    while kept.empty() and time.monotonic() < deadline:
        receiver.receive(0.1)
    assert kept.get(timeout=1)
    assert committed(topic) == {0: 0}
    whole.ack()
    receiver.close(5)
    assert committed(topic) == {0: 6}
    stored(transport, topic, Message(b"next"))
    again = kit.transport(client=client, **QUICK).receiver(Address(topic), shared=True)

    assert [one.message.body for one in taken(again, 1)] == [b"next"]


@BOTH
def test_who_is_killed_leaves_the_whole_message_to_the_next_owner(
    kit, process, *, stored, taken, committed, client
):
    transport, topic = kit.transport(**QUICK), kit.topic(1)
    member = process(topic, 2, client=client)
    chunks = pieces(b"a")
    stored(transport, topic, chunks[0], Message(b"settled"), *chunks[1:])
    assert member.hear() == [[1, False, 0], [3, False, 0]]
    assert member.ask("ack", 1) == "done"
    member.say("commit", 1)
    assert member.hear() == ["told", 1, True]
    assert committed(topic) == {0: 0}
    member.kill()
    receiver = kit.transport(client=client, **QUICK).receiver(Address(topic), shared=True)
    (again,) = taken(receiver, 1)

    assert (again.receipt.offset, again.redelivered, again.crashes) == (3, True, 1)
    assert again.message.body == b"a" * 2100
    assert receiver.receive(0.5) == ()


def test_a_message_goes_over_to_another_member_with_all_its_chunks(kit, stored, taken):
    transport, topic = kit.transport(**QUICK), kit.topic(1)
    first = kit.transport(**QUICK, client_id="a").receiver(Address(topic), shared=True)
    chunks = pieces(b"a")
    stored(transport, topic, chunks[0], Message(b"between"), chunks[1])
    taken(first, 1)
    began = time.monotonic()
    second = kit.transport(**QUICK, client_id="z").receiver(Address(topic), shared=True)
    first.close(5)
    stored(transport, topic, chunks[2])
    (whole,) = taken(second, 1)

    assert time.monotonic() - began < 10
    assert whole.receipt.offset == 3


@BOTH
def test_a_sender_that_dies_between_chunks_pins_nothing(
    kit, *, stored, taken, committed, eventually, client
):
    transport, topic = kit.transport(client=client, **QUICK), kit.topic(1)
    producer, long_ago = Producer({"bootstrap.servers": kit.bootstrap}), time.time() - 3600
    for chunk in pieces(b"a")[:2]:
        producer.produce(
            topic,
            chunk.body,
            partition=0,
            headers=list(chunk.headers),
            timestamp=int(long_ago * 1000),
        )
    assert producer.flush(20) == 0
    receiver = transport.receiver(Address(topic), shared=True)
    assert receiver.receive(1) == ()
    stored(transport, topic, Message(b"later"))
    gone, later = taken(receiver, 2)

    assert "2 of 3 came" in gone.problem
    assert (gone.message, gone.receipt.offset) == (Message(b""), 1)
    assert later.message.body == b"later"
    eventually(lambda: receiver.receive(0.1) or committed(topic) == {0: 3})
