"""Frames on a real broker: how many records there are, what a console sees, what crashes leave."""

import queue
import threading

import pytest
from msgspec.structs import replace

from transports.base import Address, Message, Receipt
from transports.errors import MessageTooLarge
from transports.kafka.frames import pack

QUICK = {"heartbeat_interval": 0.2, "session_timeout": 1.5, "commit_interval": 0.1}
SHARED = (("content-type", b"application/json"), ("rpc-method", b"UserService.get"))


def requests(count):
    return [Message(b"%d" % n, (*SHARED, ("id", n.to_bytes(16, "big")))) for n in range(count)]


@pytest.fixture
def records(kit):
    """Return the records of partition 0 as another client reads them."""
    from kafka import KafkaConsumer, TopicPartition

    def read(topic, count):
        consumer = KafkaConsumer(
            bootstrap_servers=kit.bootstrap, auto_offset_reset="earliest", group_id=None
        )
        try:
            consumer.assign([TopicPartition(topic, 0)])
            found = []
            while len(found) < count:
                for batch in consumer.poll(timeout_ms=1000).values():
                    found += batch
            return found
        finally:
            consumer.close()

    return read


@pytest.fixture
def send_all():
    """Send messages at once and wait for what becomes of each."""

    def send(transport, topic, messages, **options):
        told = [queue.SimpleQueue() for _ in messages]
        for message, one in zip(messages, told, strict=True):
            transport.send(Address(topic, 0), message, one.put, **options)
        return [one.get(timeout=30) for one in told]

    return send


def send_frame(send_all, transport, topic, count):
    """Send one record that is a frame of `count` messages."""
    ((frame, packed),) = pack(requests(count))
    assert packed == count
    (receipt,) = send_all(transport, topic, [frame])
    return receipt.offset


def said(deliveries):
    return [(d.receipt.offset, d.receipt.part, d.redelivered, d.crashes) for d in deliveries]


@pytest.mark.parametrize(("frames", "bounds"), [(True, (8, 60)), (False, (500, 500))])
def test_what_is_sent_at_once_stands_in_far_fewer_records(kit, records, send_all, frames, bounds):
    topic, transport = kit.topic(1), kit.transport(frames=frames)
    send_all(transport, topic, [Message(b"first")])
    receipts = send_all(transport, topic, requests(500), packed=True)
    offsets = {receipt.offset for receipt in receipts}
    found = records(topic, 1 + len(offsets))[1:]

    assert bounds[0] <= len(found) <= bounds[1]
    assert {record.offset for record in found} == offsets
    told = [dict(record.headers).get("rpc-frame") for record in found]
    assert sum(1 if count is None else int(count) for count in told) == 500
    assert transport.frames == frames


def test_a_console_sees_how_many_messages_a_record_has(kit, records, send_all):
    topic, transport = kit.topic(1), kit.transport()
    send_frame(send_all, transport, topic, 3)
    (record,) = records(topic, 1)

    assert record.headers == [
        ("rpc-frame", b"3"),
        ("content-type", b"application/vnd.parley.frame+msgpack"),
    ]


def test_who_sends_no_frames_reads_them(kit, send_all, taken):
    topic = kit.topic(1)
    receiver = kit.transport(frames=False).receiver(Address(topic), shared=True)
    send_frame(send_all, kit.transport(), topic, 3)

    assert [delivery.message for delivery in taken(receiver, 3)] == requests(3)


def test_a_frame_that_the_topic_does_not_take_is_sent_message_by_message(kit, send_all):
    topic, transport = kit.topic(1, max_message_bytes="2000"), kit.transport()
    messages = [Message(b"x" * (5_000 if n == 70 else 200)) for n in range(150)]
    outcomes = send_all(transport, topic, messages, packed=True)

    refused = [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Receipt)]
    assert refused == [70]
    assert isinstance(outcomes[70], MessageTooLarge)
    assert len({(one.offset, one.part) for one in outcomes if isinstance(one, Receipt)}) == 149


def test_a_frame_that_makes_no_sense_is_one_delivery_with_a_problem(kit, send_all, taken):
    topic, transport = kit.topic(1), kit.transport()
    receiver = transport.receiver(Address(topic), shared=True)
    ((frame, _),) = pack(requests(3))
    send_all(transport, topic, [replace(frame, body=frame.body[:-1]), Message(b"after")])
    bad, after = taken(receiver, 2)

    assert (bad.receipt.offset, bad.receipt.part, bad.message) == (0, 0, Message(b""))
    assert "the frame can't be read" in str(bad.problem)
    assert after.message == Message(b"after")


def test_what_is_unacknowledged_is_bounded_in_messages(kit, send_all, taken):
    topic, transport = kit.topic(1), kit.transport(max_unacked=10)
    receiver = transport.receiver(Address(topic), shared=True)
    send_frame(send_all, transport, topic, 24)
    first = taken(receiver, 10, ack=False)
    more = receiver.receive(0.3)
    for delivery in first:
        delivery.ack()
    rest = taken(receiver, 14)

    assert (len(first), len(more)) == (10, 0)
    assert [d.message for d in (*first, *rest)] == requests(24)


def test_an_offset_is_committed_once_all_parts_are_settled(
    kit, send_all, taken, eventually, committed
):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    receiver = transport.receiver(Address(topic), shared=True)
    send_frame(send_all, transport, topic, 3)
    first, second, third = taken(receiver, 3, ack=False)
    third.ack()
    second.ack()
    told = threading.Event()
    third.commit(lambda kept: kept and told.set())

    eventually(lambda: (receiver.receive(0.05), told.is_set())[1])
    assert committed(topic) == {0: 0}
    first.ack()
    eventually(lambda: (receiver.receive(0.05), committed(topic) == {0: 1})[1])


def test_after_a_handover_only_the_unsettled_parts_come_again(kit, send_all, taken):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    first = transport.receiver(Address(topic), shared=True)
    send_frame(send_all, transport, topic, 6)
    for delivery in taken(first, 6, ack=False):
        if delivery.receipt.part in {0, 3, 4}:
            delivery.ack()
    first.close(5)
    second = kit.transport(**QUICK).receiver(Address(topic), shared=True)

    assert said(taken(second, 3)) == [(0, 1, True, 0), (0, 2, True, 0), (0, 5, True, 0)]


def test_after_a_crash_only_the_unsettled_parts_come_again(kit, send_all, process, taken):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    send_frame(send_all, transport, topic, 5)
    member = process(topic, 5)
    member.hear()
    member.ask("ack", "0.1", "0.4")
    member.say("commit", "0.4")
    assert member.hear() == ["told", "0.4", True]
    member.kill()
    survivor = transport.receiver(Address(topic), shared=True)

    assert said(taken(survivor, 3)) == [(0, part, True, 1) for part in (0, 2, 3)]


def test_a_request_that_kills_its_process_does_not_take_its_frame_along(
    kit, send_all, process, taken
):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    send_frame(send_all, transport, topic, 3)
    for times in (0, 1):
        member = process(topic, 3)
        assert member.hear() == [[f"0.{n}" if n else 0, times > 0, times] for n in range(3)]
        member.kill()
    member = process(topic, 3)
    member.hear()
    member.ask("begin", "0.1")
    member.say("commit", "0.1")
    assert member.hear() == ["told", "0.1", True]
    member.kill()
    survivor = transport.receiver(Address(topic), shared=True)

    assert said(taken(survivor, 3)) == [(0, 0, True, 2), (0, 1, True, 3), (0, 2, True, 2)]
