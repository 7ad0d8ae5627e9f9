"""Private inboxes: nothing missed from the first moment on, whatever becomes of the topic."""

import threading
import time

import pytest
from confluent_kafka import Producer
from kafka.structs import TopicPartition

from transports.base import Address, Message
from transports.errors import AddressUnknown


def stored(transport, address, *bodies, headers=()):
    done = threading.Semaphore(0)
    for body in bodies:
        transport.send(address, Message(body, headers), lambda _: done.release())
    for _ in bodies:
        assert done.acquire(timeout=20)


def bodies(deliveries):
    return [delivery.message.body for delivery in deliveries]


def test_an_inbox_takes_any_partition_or_the_one_that_is_named(kit, topic_prefix):
    transport = kit.transport(reply_partitions=3)
    chosen = {transport.receiver(Address(topic_prefix), shared=False).address for _ in range(12)}
    named = transport.receiver(Address(topic_prefix, 2), shared=False)

    assert {address.topic for address in chosen} == {topic_prefix}
    assert len(chosen) > 1
    assert {address.partition for address in chosen} <= {0, 1, 2}
    assert named.address == Address(topic_prefix, 2)


def test_a_partition_that_is_not_there_is_refused(kit, topic_prefix):
    transport = kit.transport(reply_partitions=3)

    with pytest.raises(AddressUnknown, match="has 3 partitions, and no 3"):
        transport.receiver(Address(topic_prefix, 3), shared=False)


def test_what_was_there_before_is_not_seen_and_what_comes_is(kit, taken):
    topic, transport = kit.topic(1), kit.transport()
    stored(transport, Address(topic, 0), b"before")
    inbox = transport.receiver(Address(topic, 0), shared=False)
    stored(transport, inbox.address, b"after")

    assert bodies(taken(inbox, 1)) == [b"after"]


def test_more_than_a_connection_s_stock_bound_is_read_at_once(kit, taken):
    transport = kit.transport()
    inbox = transport.receiver(Address(kit.topic(1)), shared=False)
    for _ in range(30):
        stored(transport, inbox.address, b"x" * 100_000)

    assert len(taken(inbox, 30)) == 30


@pytest.mark.parametrize("together", [True, False])
def test_poison_is_told_and_its_neighbours_come_within_a_second(kit, taken, raw_name, together):
    transport = kit.transport(driver={"linger_ms": 200 if together else 0})
    inbox = transport.receiver(Address(kit.topic(1)), shared=False)
    done, began = threading.Semaphore(0), time.monotonic()
    for n in range(3):
        name = raw_name(b"\xc3\x28") if n == 1 else "fine"
        message = Message(b"%d" % n, ((name, b"x"),))
        transport.send(inbox.address, message, lambda _: done.release())
        assert together or done.acquire(timeout=10)
    got = taken(inbox, 3)

    assert time.monotonic() - began < 1.5
    assert bodies(got) == [b"0", b"", b"2"]
    assert [delivery.problem is None for delivery in got] == [True, False, True]


def test_what_other_clients_may_leave_out_is_read_as_empty(kit, taken):
    inbox = kit.transport().receiver(Address(kit.topic(1)), shared=False)
    producer = Producer({"bootstrap.servers": kit.bootstrap})
    topic, partition = inbox.address
    producer.produce(topic, None, partition=partition)
    producer.produce(topic, b"v", partition=partition, headers=[("a", None), ("a", b"2")])
    producer.produce(topic, b"", key=b"", partition=partition, headers=[("", b"")])
    assert producer.flush(10) == 0

    assert [delivery.message for delivery in taken(inbox, 3)] == [
        Message(b"", (), None),
        Message(b"v", (("a", b""), ("a", b"2")), None),
        Message(b"", (("", b""),), b""),
    ]


def test_what_was_deleted_below_it_moves_an_inbox_to_the_end(kit, taken, eventually):
    topic, transport = kit.topic(1), kit.transport()
    inbox = transport.receiver(Address(topic), shared=False)
    stored(transport, inbox.address, *[b"old"] * 20)
    kit.admin.delete_records({TopicPartition(topic, 0): 20})
    inbox._reader.step_over(0, 5)
    inbox.receive(0.5)
    eventually(lambda: inbox._reader.position(TopicPartition(topic, 0), timeout_ms=1000) == 20)
    stored(transport, inbox.address, b"new")

    assert bodies(taken(inbox, 1)) == [b"new"]


def test_a_topic_made_anew_is_read_on(kit, taken, eventually):
    topic, transport = kit.topic(1), kit.transport(address_timeout=10, metadata_max_age=0.5)
    inbox = transport.receiver(Address(topic), shared=False)
    stored(transport, inbox.address, *[b"old"] * 20)
    taken(inbox, 20)
    kit.admin.delete_topics([topic])
    eventually(lambda: inbox.receive(0.1) == () and not inbox._reader.partitions())
    kit.admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    eventually(lambda: inbox.receive(0.1) == () and inbox._reader.partitions())
    got, n = [], 0
    while not got:
        n += 1
        assert n < 50
        stored(transport, inbox.address, b"new %d" % n)
        got = bodies(inbox.receive(0.2))

    assert got[0].startswith(b"new")


def test_a_topic_that_is_gone_is_told(kit):
    topic, transport = kit.topic(1), kit.transport(address_timeout=0.3, metadata_max_age=0.3)
    inbox = transport.receiver(Address(topic), shared=False)
    kit.admin.delete_topics([topic])
    began = time.monotonic()

    with pytest.raises(AddressUnknown, match="was deleted"):
        inbox.receive(20)
    assert time.monotonic() - began < 5


def test_a_partition_that_is_gone_is_told_as_long_as_it_is(kit, eventually):
    topic, transport = kit.topic(2), kit.transport(address_timeout=0.3, metadata_max_age=0.3)
    inbox = transport.receiver(Address(topic, 1), shared=False)
    kit.admin.delete_topics([topic])
    with pytest.raises(AddressUnknown, match="was deleted"):
        inbox.receive(20)
    with pytest.raises(AddressUnknown, match="was deleted"):
        inbox.receive(0)
    kit.admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})

    def told():
        with pytest.raises(AddressUnknown) as error:
            inbox.receive(20)
        return str(error.value)

    assert eventually(lambda: "has no partition 1 any more" in told())


def test_closing_ends_who_waits_at_once(kit):
    inbox = kit.transport().receiver(Address(kit.topic(1)), shared=False)
    ended = []
    waiting = threading.Thread(target=lambda: ended.append(inbox.receive(60)))
    waiting.start()
    began = time.monotonic()
    inbox.close(2)
    waiting.join(10)

    assert ended == [()]
    assert time.monotonic() - began < 2


@pytest.mark.alone
def test_waiting_costs_little(kit):
    inbox = kit.transport(client_id="idle").receiver(Address(kit.topic(1)), shared=False)
    clocks = [
        time.pthread_getcpuclockid(thread.ident)
        for thread in threading.enumerate()
        if "idle" in thread.name or thread is threading.current_thread()
    ]
    inbox.receive(0.2)
    used, began = sum(map(time.clock_gettime, clocks)), time.monotonic()
    inbox.receive(2)
    share = (sum(map(time.clock_gettime, clocks)) - used) / (time.monotonic() - began)

    assert len(clocks) == 1
    assert share < 0.05


def test_the_timestamp_is_the_broker_s(kit, taken, topic_prefix):
    transport = kit.transport()
    inbox = transport.receiver(Address(topic_prefix), shared=False)
    stored(transport, inbox.address, b"")
    threading.Event().wait(0.3)
    (delivery,) = taken(inbox, 1)

    assert 0.25 < transport.now() - delivery.timestamp < 5
