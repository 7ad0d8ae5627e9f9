"""Sending: nothing that one message meets may harm another, and every one is told its outcome."""

import os
import queue
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from kafka import KafkaProducer

from transports import failpoints
from transports.base import Address, Message, Receipt
from transports.errors import (
    AddressUnknown,
    MessageRefused,
    MessageTooLarge,
    TransportClosed,
    Unreachable,
)
from transports.kafka import KafkaConfig, KafkaTransport

STOCK = {"delivery_timeout_ms": 5000, "request_timeout_ms": 3000, "max_block_ms": 3000}
TOGETHER = {"linger_ms": 200}


def send_all(transport, address, messages, patience=20):
    """Send the messages at once, and return what became of each."""
    outcomes = [None] * len(messages)
    told = threading.Semaphore(0)

    def keeper(n):
        def on_sent(outcome):
            assert outcomes[n] is None
            outcomes[n] = outcome
            told.release()

        return on_sent

    for n, message in enumerate(messages):
        transport.send(address, message, keeper(n))
    for _ in messages:
        assert told.acquire(timeout=patience), f"not all were told: {outcomes}"
    return outcomes


def kinds(outcomes):
    return [type(outcome) for outcome in outcomes]


def cpu_share(thread, seconds):
    """Return how much of a core a thread uses in the coming `seconds`."""
    clock = time.pthread_getcpuclockid(thread.ident)
    used, began = time.clock_gettime(clock), time.monotonic()
    threading.Event().wait(seconds)
    return (time.clock_gettime(clock) - used) / (time.monotonic() - began)


def sender_of(transport):
    (thread,) = [
        t for t in threading.enumerate() if t.name == f"rpc-kafka-sender-{transport.client_id}"
    ]
    return thread


def test_stock_is_ended_by_one_record_that_the_broker_refuses(kit):
    small, other = kit.topic(max_message_bytes="2000"), kit.topic()
    producer = KafkaProducer(bootstrap_servers=kit.bootstrap, **STOCK)
    producer.send(other, b"warm").get(10)
    with pytest.raises(Exception, match="MessageSizeTooLarge"):
        producer.send(small, b"x" * 5000).get(10)

    with pytest.raises(Exception, match="MessageSizeTooLarge"):
        producer.send(other, b"fine").get(10)
    producer.close(timeout=1)


@pytest.mark.parametrize(
    ("configs", "refused", "error"),
    [
        ({"max_message_bytes": "2000"}, Message(b"x" * 5000), MessageTooLarge),
        ({"cleanup_policy": "compact"}, Message(b"no key"), MessageRefused),
    ],
)
def test_one_record_that_the_broker_refuses_harms_no_other(
    kit, outcome_of, configs, refused, error
):
    topic, other, transport = kit.topic(**configs), kit.topic(), kit.transport()
    fine = Message(b"fine", key=b"key")

    assert isinstance(outcome_of(transport, Address(topic), refused), error)
    assert isinstance(outcome_of(transport, Address(topic), fine), Receipt)
    assert isinstance(outcome_of(transport, Address(other), fine), Receipt)


def test_neighbours_of_a_refused_record_in_one_batch_are_stored(kit):
    topic, transport = kit.topic(cleanup_policy="compact"), kit.transport(driver=TOGETHER)
    messages = [Message(b"%d" % n, key=None if n == 2 else b"key") for n in range(5)]
    send_all(transport, Address(topic), messages[:1])

    outcomes = send_all(transport, Address(topic), messages)

    assert kinds(outcomes) == [Receipt, Receipt, MessageRefused, Receipt, Receipt]
    assert [outcome.offset for outcome in outcomes if isinstance(outcome, Receipt)] == [1, 2, 3, 4]


def test_a_batch_too_large_for_its_topic_is_split_until_it_fits(kit):
    topic, transport = kit.topic(max_message_bytes="2000"), kit.transport(driver=TOGETHER)
    messages = [Message(b"x" * (5000 if n == 7 else 500)) for n in range(20)]

    outcomes = send_all(transport, Address(topic), messages)

    assert kinds(outcomes) == [MessageTooLarge if n == 7 else Receipt for n in range(20)]
    offsets = [outcome.offset for outcome in outcomes if isinstance(outcome, Receipt)]
    assert offsets == [*range(19)]


def test_a_message_beyond_the_transport_s_bound_is_told_both_sizes(kit, outcome_of):
    topic, transport = kit.topic(), kit.transport(max_message_bytes=1000)

    outcome = outcome_of(transport, Address(topic), Message(b"x" * 900, (("name", b"y" * 200),)))
    fits = outcome_of(transport, Address(topic), Message(b"x" * 700, (("name", b"y" * 100),)))

    assert isinstance(outcome, MessageTooLarge)
    assert "1177 bytes, and max_message_bytes is 1000" in str(outcome)
    assert isinstance(fits, Receipt)


def test_on_sent_that_raises_keeps_nobody_else_from_being_told(kit):
    topic, transport = kit.topic(), kit.transport(driver=TOGETHER)

    def on_sent(_):
        raise RuntimeError("mine")

    transport.send(Address(topic), Message(b"a"), on_sent)

    assert kinds(send_all(transport, Address(topic), [Message(b"b")] * 3)) == [Receipt] * 3


def test_stock_refuses_a_new_partition_until_its_metadata_is_old(kit):
    topic = kit.topic(1)
    producer = KafkaProducer(bootstrap_servers=kit.bootstrap, **STOCK)
    producer.send(topic, b"warm", partition=0).get(10)
    kit.admin.create_partitions({topic: 3})
    kit.admin.wait_for_topics([topic])

    with pytest.raises(ValueError, match="Unrecognized partition"):
        producer.send(topic, b"new", partition=2)
    producer.close(timeout=1)


def test_a_new_partition_can_be_sent_to_within_a_second_or_so(kit, outcome_of):
    topic, transport = kit.topic(1), kit.transport(metadata_max_age=300)
    outcome_of(transport, Address(topic, 0), Message(b"warm"))
    kit.admin.create_partitions({topic: 3})
    began = time.monotonic()

    outcome = outcome_of(transport, Address(topic, 2), Message(b"new"))

    assert outcome == Receipt(topic, 2, 0)
    assert time.monotonic() - began < 2


def test_a_partition_that_is_not_there_delays_no_other(kit, outcome_of):
    topic, transport = kit.topic(2), kit.transport(address_timeout=3)
    outcome_of(transport, Address(topic, 0), Message(b"warm"))
    told = []
    transport.send(Address(topic, 9), Message(b"nowhere"), told.append)
    began = time.monotonic()

    assert isinstance(outcome_of(transport, Address(topic, 1), Message(b"fine")), Receipt)
    assert time.monotonic() - began < 1.5
    assert told == []


@pytest.mark.alone
def test_stock_burns_a_core_over_a_deleted_topic(kit, eventually):
    topic = kit.topic(1)
    producer = KafkaProducer(bootstrap_servers=kit.bootstrap, **STOCK)
    producer.send(topic, b"warm").get(10)
    kit.admin.delete_topics([topic])
    producer._client = producer._sender._client
    producer._client._manager.call_soon(producer._metadata.request_update)
    eventually(lambda: producer._metadata.partitions_for_topic(topic) is None)

    assert cpu_share(producer._sender, 1.5) > 0.25
    producer.close(timeout=1)


@pytest.mark.alone
def test_a_deleted_topic_is_told_soon_and_burns_nothing(kit, outcome_of, eventually):
    topic, other, transport = kit.topic(1), kit.topic(1), kit.transport(address_timeout=1)
    outcome_of(transport, Address(topic), Message(b"warm"))
    outcome_of(transport, Address(other), Message(b"warm"))
    kit.admin.delete_topics([topic])
    began = time.monotonic()
    eventually(
        lambda: isinstance(outcome_of(transport, Address(topic), Message(b"gone")), AddressUnknown)
    )
    took = time.monotonic() - began
    share = cpu_share(sender_of(transport), 1.5)

    assert took < 4
    assert share < 0.1
    assert isinstance(outcome_of(transport, Address(other), Message(b"fine")), Receipt)


def test_what_waits_for_a_deleted_topic_is_failed_and_what_comes_after_it_is_back_goes(
    kit, outcome_of, eventually
):
    topic, transport = kit.topic(1), kit.transport(address_timeout=1)
    outcome_of(transport, Address(topic), Message(b"warm"))
    kit.admin.delete_topics([topic])

    outcomes = send_all(transport, Address(topic), [Message(b"gone")] * 20)
    kit.admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})

    assert set(kinds(outcomes)) <= {AddressUnknown, Receipt}
    eventually(lambda: isinstance(outcome_of(transport, Address(topic), Message(b"back")), Receipt))


@pytest.mark.alone
def test_a_topic_that_is_not_there_fails_within_its_time_and_then_at_once(kit, outcome_of):
    transport = kit.transport(address_timeout=1)
    nowhere = Address("test-nowhere")
    began = time.monotonic()
    first = outcome_of(transport, nowhere, Message(b""))
    then = time.monotonic()
    again = outcome_of(transport, nowhere, Message(b""))

    assert isinstance(first, AddressUnknown)
    assert "test-nowhere does not exist" in str(first)
    assert then - began < 3
    assert str(again) == str(first)
    assert time.monotonic() - then < 0.1


def test_a_topic_that_was_not_there_is_found_after_it_was_prepared(kit, outcome_of, topic_prefix):
    transport, address = kit.transport(address_timeout=0.3, partitions=2), Address(topic_prefix)
    assert isinstance(outcome_of(transport, address, Message(b"")), AddressUnknown)

    transport.prepare(address, 10)

    assert isinstance(outcome_of(transport, address, Message(b"")), Receipt)


@pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 300, "."])
def test_what_can_not_be_a_topic_is_told_through_on_sent(kit, outcome_of, name):
    assert isinstance(outcome_of(kit.transport(), Address(name), Message(b"")), AddressUnknown)


@pytest.mark.parametrize(
    "message",
    [Message(b"", (("\ud800", b""),)), Message("text"), Message(b"", ((b"name", b""),))],
)
def test_what_can_not_be_written_is_told_and_harms_no_other(kit, message):
    topic, transport = kit.topic(1), kit.transport(driver=TOGETHER)

    outcomes = send_all(transport, Address(topic), [Message(b"a"), message, Message(b"b")])

    assert kinds(outcomes) == [Receipt, MessageRefused, Receipt]
    assert f"a message to {topic} can't be written" in str(outcomes[1])


def test_messages_that_waited_for_their_topic_stay_in_order(kit):
    topic, transport = kit.topic(1), kit.transport()

    outcomes = send_all(transport, Address(topic, 0), [Message(b"%d" % n) for n in range(500)])

    assert [outcome.offset for outcome in outcomes] == [*range(500)]


def test_messages_without_a_key_are_spread_evenly(kit):
    topic, transport = kit.topic(12), kit.transport()

    outcomes = send_all(transport, Address(topic), [Message(b"x" * 100)] * 6000)
    shares = [sum(outcome.partition == n for outcome in outcomes) for n in range(12)]

    assert min(shares) > 350
    assert max(shares) < 650


@pytest.mark.alone
def test_sending_never_waits_though_nobody_answers():
    transport = KafkaTransport(KafkaConfig(bootstrap=("127.0.0.1:1",), connect_timeout=0.5))
    began = time.monotonic()
    told, outcomes = threading.Event(), []
    transport.send(Address("t"), Message(b""), lambda o: (outcomes.append(o), told.set()))
    returned = time.monotonic() - began
    assert told.wait(5)
    transport.close(1)

    assert returned < 0.1
    assert isinstance(outcomes[0], Unreachable)
    assert "127.0.0.1:1" in str(outcomes[0])
    assert "nothing listens there" in str(outcomes[0])


def test_messages_keep_away_from_partitions_to_avoid(kit):
    topic, transport = kit.topic(12), kit.transport()
    told, partitions = threading.Semaphore(0), set()

    def on_sent(outcome):
        partitions.add(outcome.partition)
        told.release()

    for _ in range(300):  # the first of them wait until the topic is known
        transport.send(Address(topic), Message(b""), on_sent, avoid=(0, 1, 2, 3, 99))
    for _ in range(300):
        assert told.acquire(timeout=20)

    assert partitions <= set(range(4, 12))
    assert len(partitions) >= 4


def test_sending_passes_its_failpoints(kit, outcome_of, monkeypatch, tmp_path):
    bites = tmp_path / "bites"
    monkeypatch.setenv(failpoints.ENV_LOG, str(bites))
    topic, transport, dropped = kit.topic(1), kit.transport(), []
    failpoints.arm(failpoints.parse("producer.before_send:drop@1,producer.acked:sleep=0"))
    try:
        transport.send(Address(topic), Message(b"dropped"), dropped.append)
        outcome = outcome_of(transport, Address(topic), Message(b"sent"))
    finally:
        failpoints.arm({})

    assert isinstance(outcome, Receipt)
    assert (outcome.offset, dropped) == (0, [])
    assert [line.split()[1:] for line in bites.read_text().splitlines()] == [
        ["producer.before_send", "drop"],
        ["producer.acked", "sleep"],
    ]


def test_closing_tells_everyone_and_leaves_no_thread(kit, outcome_of):
    topic, transport = kit.topic(2), kit.transport(client_id="leaves-nothing")
    outcome_of(transport, Address(topic), Message(b"warm"))
    receiver = transport.receiver(Address(topic), shared=True)
    inbox = transport.receiver(Address(topic, 1), shared=False)
    outcomes = []
    for _ in range(1000):
        transport.send(Address(topic), Message(b""), outcomes.append)
    running = [t.name for t in threading.enumerate() if "leaves-nothing" in t.name]
    transport.close(10)

    assert kinds(outcomes) == [Receipt] * 1000
    assert len(running) >= 3
    assert all(name.startswith("rpc-kafka-") for name in running)
    assert not [t.name for t in threading.enumerate() if "leaves-nothing" in t.name]
    assert (receiver.receive(1), inbox.receive(1)) == ((), ())


def test_what_waits_for_its_topic_is_sent_before_closing(kit):
    topic, transport, outcomes = kit.topic(1), kit.transport(), []
    for _ in range(10):
        transport.send(Address(topic), Message(b""), outcomes.append)
    transport.close(10)

    assert kinds(outcomes) == [Receipt] * 10


def test_closing_does_not_wait_for_what_can_not_be_sent():
    config = KafkaConfig(bootstrap=("127.0.0.1:1",), connect_timeout=5, client_id="in-vain")
    transport, outcomes = KafkaTransport(config), []
    transport.send(Address("t"), Message(b""), outcomes.append)
    began = time.monotonic()
    transport.close(0.3)

    assert time.monotonic() - began < 1
    assert kinds(outcomes) == [TransportClosed]
    assert not [t.name for t in threading.enumerate() if "in-vain" in t.name]


def test_sending_after_close_is_told(kit, outcome_of):
    transport = kit.transport()
    transport.close(1)

    assert isinstance(outcome_of(transport, Address("t"), Message(b"")), TransportClosed)


def test_payloads_are_in_no_log_however_wordy(kit, outcome_of, taken, caplog):
    caplog.set_level("DEBUG")
    topic, transport = kit.topic(1), kit.transport()
    inbox = transport.receiver(Address(topic), shared=False)
    shared = transport.receiver(Address(topic), shared=True)
    message = Message(b"body-unspeakable", (("name", b"header-unspeakable"),), b"key-unspeakable")
    outcome_of(transport, Address(topic), message)
    taken(inbox, 1)
    taken(shared, 1)
    transport.close(5)

    assert "kafka.coordinator" in {record.name for record in caplog.records}
    assert "unspeakable" not in caplog.text


FORK = """
import os, sys, threading
from transports.base import Address, Message
from transports.errors import TransportClosed
from transports.kafka import open_transport

def outcome(transport, topic):
    told, outcomes = threading.Event(), []
    transport.send(Address(topic), Message(b""), lambda o: (outcomes.append(o), told.set()))
    assert told.wait(20)
    return outcomes[0]

transport = open_transport(sys.argv[1])
print("parent", type(outcome(transport, sys.argv[2])).__name__, flush=True)
receivers = [transport.receiver(Address(sys.argv[2]), shared=shared) for shared in (True, False)]
child = os.fork()
if not child:
    print("child", outcome(transport, sys.argv[2]), flush=True)
    try:
        transport.receiver(Address(sys.argv[2]), shared=True)
    except TransportClosed:
        print("child receiver closed", flush=True)
    for opened in receivers:
        try:
            opened.receive(1)
        except TransportClosed as closed:
            print("child receives:", closed, flush=True)
    transport.close(1)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("parent", type(outcome(transport, sys.argv[2])).__name__, flush=True)
transport.close(5)
"""


def test_a_forked_child_is_told_to_open_its_own_and_the_parent_goes_on(kit):
    topic = kit.topic(1)
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK), f"kafka://{kit.bootstrap}", topic],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )

    assert ran.stdout.splitlines() == [
        "parent Receipt",
        "child this transport was opened before a fork; open another one in the child",
        "child receiver closed",
        "child receives: this transport was opened before a fork; open another one in the child",
        "child receives: this transport was opened before a fork; open another one in the child",
        "parent Receipt",
    ], ran.stderr


def test_what_the_sender_puts_by_itself_wakes_it_no_more(kit, outcome_of, monkeypatch):
    topic, transport = kit.topic(1), kit.transport()
    outcome_of(transport, Address(topic, 0), Message(b"warm"))
    client, told, by = transport._sends._producer._client, queue.Queue(), []
    wakeup = client.wakeup
    monkeypatch.setattr(client, "wakeup", lambda: by.append(threading.current_thread()) or wakeup())
    transport.send(Address(topic, 0), Message(b"packed"), told.put, packed=True)

    assert isinstance(told.get(timeout=10), Receipt)
    assert by == [threading.current_thread()]


def test_messages_one_after_the_other_are_sent_by_the_threads_that_send_them(kit, outcome_of):
    topic, transport = kit.topic(1), kit.transport()
    for number in range(9):
        outcome_of(transport, Address(topic, 0), Message(b"%d" % number))
    sender, by = transport._sends._producer._sender, []
    sender.before_send = lambda: by.append(threading.current_thread())
    outcome_of(transport, Address(topic, 0), Message(b"another"))

    assert by[0] is threading.current_thread()


@pytest.mark.parametrize("packed", [False, True])
def test_many_threads_that_send_in_each_others_place_lose_and_swap_nothing(
    kit, outcome_of, taken, packed
):
    topic, transport, rounds = kit.topic(1), kit.transport(), 300
    receiver = transport.receiver(Address(topic, 0), shared=False)
    outcome_of(transport, Address(topic, 0), Message(b"warm"))
    told = [queue.Queue() for _ in range(6)]

    def send(who):
        for number in range(rounds):
            body = Message(b"%d %d" % (who, number))
            transport.send(Address(topic, 0), body, told[who].put, packed=packed)
            if number % 3 == who % 3:  # now one by one, now some together
                assert isinstance(told[who].get(timeout=20), Receipt)

    threads = [threading.Thread(target=send, args=(who,)) for who in range(6)]
    for thread in threads:
        thread.start()
    came = [d.message.body.split() for d in taken(receiver, 6 * rounds + 1)][1:]
    for thread in threads:
        thread.join(30)

    for who in range(6):
        own = [int(number) for sender, number in came if int(sender) == who]
        assert own == list(range(rounds))
