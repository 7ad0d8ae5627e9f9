"""Shared receivers in a group: nothing is lost and little done twice, whoever comes and goes."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from kafka.consumer.fetcher import Fetcher
from kafka.structs import TopicPartition
from structlog.testing import capture_logs

from transports.base import Address, Message
from transports.errors import AddressUnknown, ConfigurationError
from transports.kafka.driver.fetch import TolerantRecords

QUICK = {"heartbeat_interval": 0.2, "session_timeout": 1.5, "commit_interval": 0.1}


def send(transport, topic, count, partition=0, body=b""):
    """Send numbered messages and wait until all are stored."""
    stored, outcomes = threading.Semaphore(0), []
    for n in range(count):
        transport.send(
            Address(topic, partition),
            Message(b"%d" % n + body),
            lambda o: (outcomes.append(o), stored.release()),
        )
    for _ in range(count):
        assert stored.acquire(timeout=20)
    return outcomes


def offsets(deliveries):
    return [delivery.receipt.offset for delivery in deliveries]


def receive_for(receiver, seconds):
    """Return all that comes within `seconds`."""
    deadline, got = time.monotonic() + seconds, []
    while (left := deadline - time.monotonic()) > 0:
        got.extend(receiver.receive(left))
    return got


def held(receiver):
    return sorted(n for n, log in list(receiver._offsets._logs.items()) if log.held)


class Reading:
    """A receiver read by a thread of its own, which acknowledges all, until it is closed."""

    def __init__(self, receiver):
        self.receiver, self.got = receiver, []
        self._thread = threading.Thread(target=self._run)
        self._open = True
        self._thread.start()

    def _run(self):
        while self._open:
            for delivery in self.receiver.receive(0.2):
                self.got.append((delivery.receipt.partition, delivery.receipt.offset))
                delivery.ack()

    def close(self, timeout=5):
        self._open = False
        self.receiver.close(timeout)
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_members_join_and_leave_and_every_message_is_handled_once(kit, eventually):
    topic, transport = kit.topic(4), kit.transport(**QUICK)
    first = Reading(transport.receiver(Address(topic), shared=True))
    sending, begun, sent = threading.Event(), [], []

    def load():
        while not sending.wait(0.002):
            begun.append(Address(topic, len(begun) % 4))
            transport.send(begun[-1], Message(b""), lambda o: sent.append((o.partition, o.offset)))

    loading = threading.Thread(target=load)
    loading.start()
    others = []
    for _ in range(3):
        other = Reading(kit.transport(**QUICK).receiver(Address(topic), shared=True))
        others.append(other)
        eventually(lambda: len(other.got) > 20)  # noqa: B023 - awaited here
        eventually(lambda: len(held(first.receiver)) == 2)
        other.close()
        eventually(lambda: len(held(first.receiver)) == 4)
    sending.set()
    loading.join()
    eventually(lambda: len(sent) == len(begun))
    eventually(lambda: sum(len(r.got) for r in [first, *others]) >= len(sent))
    first.close()
    handled = [place for reading in [first, *others] for place in reading.got]

    assert len(sent) > 300
    assert set(handled) == set(sent)
    assert len(handled) == len(set(handled))


def test_who_closes_leaves_what_it_did_not_acknowledge_to_the_others_at_once(kit, taken):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    first = kit.transport(**QUICK, client_id="a").receiver(Address(topic), shared=True)
    send(transport, topic, 10)
    for delivery in taken(first, 10, ack=False)[:4]:
        delivery.ack()
    second = kit.transport(**QUICK, client_id="z", revoke_timeout=0).receiver(
        Address(topic), shared=True
    )
    began = time.monotonic()
    first.close(5)

    assert offsets(taken(second, 6)) == [4, 5, 6, 7, 8, 9]
    assert time.monotonic() - began < 3


KILLED = """
import sys
from transports.base import Address
from transports.kafka import open_transport

receiver = open_transport(sys.argv[1]).receiver(Address(sys.argv[2]), shared=True)
got = []
while len(got) < 10:
    got += receiver.receive(1)
for delivery in got[:4]:
    delivery.ack()
while receiver._offsets.changed:
    receiver.receive(0.1)
print("taken", flush=True)
while True:
    receiver.receive(1)
"""


def test_what_a_killed_member_had_not_acknowledged_goes_to_another(kit, taken):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    send(transport, topic, 10)
    url = f"kafka://{kit.bootstrap}?" + "&".join(f"{k}={v}" for k, v in QUICK.items())
    member = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), url, topic],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert member.stdout.readline() == b"taken\n"
    finally:
        member.send_signal(signal.SIGKILL)
        member.wait()
        member.stdout.close()
    began = time.monotonic()
    survivor = transport.receiver(Address(topic), shared=True)

    assert offsets(taken(survivor, 6)) == [4, 5, 6, 7, 8, 9]
    assert time.monotonic() - began < 8


def test_what_is_in_flight_is_not_delivered_again_by_a_rebalance_that_gives_it_back(
    kit, taken, eventually, committed
):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    # The range assignor gives the only partition to the first member by name.
    keeps = kit.transport(**QUICK, client_id="a", revoke_timeout=0.1).receiver(
        Address(topic), shared=True
    )
    send(transport, topic, 10)
    flying = taken(keeps, 10, ack=False)
    flying[5].ack()
    passing = kit.transport(**QUICK, client_id="z").receiver(Address(topic), shared=True)
    assert held(passing) == []
    passing.close(5)
    eventually(lambda: held(keeps) == [0])
    send(transport, topic, 1)

    again = receive_for(keeps, 2)
    for delivery in [*flying, *again]:
        delivery.ack()
    keeps.receive(0.2)

    assert offsets(again) == [10]
    eventually(lambda: keeps.receive(0.1) == () and committed(topic) == {0: 11})


def test_what_is_given_back_while_the_partition_is_lost_comes_again_where_it_comes_back(
    kit, taken, eventually, committed, monkeypatch
):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    keeps = kit.transport(**QUICK, client_id="a", revoke_timeout=0.1).receiver(
        Address(topic), shared=True
    )
    send(transport, topic, 6)
    flying = taken(keeps, 6, ack=False)
    given, released = [], keeps.released

    def give_back(session):
        released(session)
        if not given:
            given.extend(flying[n].give_back() for n in (5, 3, 1))

    # A rebalance that gives a partition back takes milliseconds, too few for a look from outside.
    monkeypatch.setattr(keeps, "released", give_back)
    kit.transport(**QUICK, client_id="z").receiver(Address(topic), shared=True).close(5)

    again = taken(keeps, 3, ack=False)
    for delivery in [*flying, *again]:
        delivery.ack()

    assert given == [True, True, True]
    assert offsets(again) == [1, 3, 5]
    eventually(lambda: keeps.receive(0.1) == () and committed(topic) == {0: 6})


def test_a_rebalance_waits_a_moment_for_what_is_in_flight(kit, taken, eventually):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    gives = kit.transport(**QUICK, client_id="z", revoke_timeout=5).receiver(
        Address(topic), shared=True
    )
    send(transport, topic, 5)
    flying = taken(gives, 5, ack=False)
    takes = []
    opening = threading.Thread(
        target=lambda: takes.append(
            kit.transport(**QUICK, client_id="a").receiver(Address(topic), shared=True)
        )
    )
    opening.start()
    eventually(lambda: gives._revoking)
    for delivery in flying:
        delivery.ack()
    opening.join(20)
    send(transport, topic, 1)

    assert offsets(taken(takes[0], 1)) == [5]


def test_only_settled_offsets_are_committed_and_they_are_soon(kit, taken, eventually, committed):
    topic, transport = kit.topic(2), kit.transport(**QUICK)
    receiver = transport.receiver(Address(topic), shared=True)
    send(transport, topic, 5, partition=0)
    send(transport, topic, 3, partition=1)
    by_place = {(d.receipt.partition, d.receipt.offset): d for d in taken(receiver, 8, ack=False)}
    for place in [(0, 0), (0, 1), (0, 3), (1, 2)]:
        by_place[place].ack()

    eventually(lambda: receiver.receive(0.1) == () and committed(topic) == {0: 2, 1: 0})
    for place in [(1, 0), (1, 1)]:
        by_place[place].ack()
    eventually(lambda: receiver.receive(0.1) == () and committed(topic) == {0: 2, 1: 3})


def test_closing_commits_what_was_acknowledged(kit, taken, committed):
    topic, transport = kit.topic(1), kit.transport(commit_interval=60)
    receiver = transport.receiver(Address(topic), shared=True)
    send(transport, topic, 5)
    taken(receiver, 5)
    receiver.close(5)

    assert committed(topic) == {0: 5}


@pytest.mark.parametrize("bound", [{"max_unacked": 20}, {"max_unacked_bytes": 20_000}])
def test_at_the_bound_all_is_paused_and_goes_on_after_acknowledgements(
    kit, taken, eventually, bound
):
    topic, transport = kit.topic(2), kit.transport(**QUICK, **bound)
    receiver = transport.receiver(Address(topic), shared=True)
    send(transport, topic, 50, partition=0, body=b"x" * 900)
    send(transport, topic, 50, partition=1, body=b"x" * 900)
    got = taken(receiver, 18, ack=False)
    member = receiver._session.member
    more = receive_for(receiver, 0.5)

    assert len(got) + len(more) <= 23
    assert {tp.partition for tp in member.paused()} == {0, 1}
    # Longer than a member may be silent: it polls on though nothing is fetched.
    assert receive_for(receiver, 2) == []
    assert held(receiver) == [0, 1]
    for delivery in [*got, *more]:
        delivery.ack()
    rest = taken(receiver, 100 - len(got) - len(more))
    assert len(rest) == 100 - len(got) - len(more)
    eventually(lambda: receiver.receive(0) == () and not member.paused())


def test_a_receiver_that_nobody_asks_takes_no_more_than_its_bound(kit, eventually):
    topic, transport = kit.topic(1), kit.transport(**QUICK, max_unacked=10)
    receiver = transport.receiver(Address(topic), shared=True)
    send(transport, topic, 2000, body=b"x" * 5000)
    eventually(receiver._session.member.paused)
    waiting = receiver._backlog.messages
    send(transport, topic, 2000, body=b"x" * 5000)

    assert receiver._session.member.paused()
    assert receiver._backlog.messages == waiting


@pytest.mark.parametrize(("count", "size"), [(10, 100_000), (1, 1_048_000)])
def test_a_backlog_and_a_message_larger_than_a_connection_s_stock_bound_are_read(
    kit, taken, count, size
):
    """Left alone, it is 1 MB: a larger answer to a fetch breaks the connection, over and over."""
    topic, transport = kit.topic(3), kit.transport()
    for partition in range(3):
        send(transport, topic, count, partition, b"x" * size)
    receiver = transport.receiver(Address(topic), shared=True)

    assert len(taken(receiver, 3 * count)) == 3 * count


def test_a_first_member_joins_once(kit):
    topic, transport = kit.topic(2), kit.transport(**QUICK)
    with capture_logs() as logged:
        receiver = transport.receiver(Address(topic), shared=True)
        receive_for(receiver, 1.5)
    joined = [entry for entry in logged if entry["event"] == "kafka.assigned"]

    assert [entry["partitions"] for entry in joined] == [[0, 1]]


@pytest.mark.alone
def test_receive_returns_as_soon_as_something_comes(kit, taken):
    topic, transport = kit.topic(12), kit.transport()
    receiver = transport.receiver(Address(topic), shared=True)
    send(transport, topic, 1)
    taken(receiver, 1)
    waits = []
    for n in range(10):
        began = time.monotonic()
        transport.send(Address(topic, n), Message(b""), lambda _: None)
        taken(receiver, 1)
        waits.append(time.monotonic() - began)

    assert sorted(waits)[5] < 0.1


def test_new_partitions_are_read(kit, taken, eventually):
    topic, transport = kit.topic(1), kit.transport(**QUICK, metadata_max_age=0.5)
    receiver = transport.receiver(Address(topic), shared=True)
    kit.admin.create_partitions({topic: 3})
    send(transport, topic, 1, partition=2)

    assert [d.receipt.partition for d in taken(receiver, 1)] == [2]
    assert held(receiver) == [0, 1, 2]


@pytest.mark.parametrize("together", [True, False])
def test_a_poisonous_record_is_told_and_its_neighbours_come_within_a_second(
    kit, taken, raw_name, together
):
    topic = kit.topic(2)
    transport = kit.transport(**QUICK, driver={"linger_ms": 200 if together else 0})
    receiver = transport.receiver(Address(topic), shared=True)
    send(transport, topic, 1, partition=1)
    began, messages = time.monotonic(), []
    for n in range(3):
        name = raw_name(b"\xff\xfe") if n == 1 else "fine"
        messages.append(Message(b"%d" % n, ((name, b"x"),)))
    stored = threading.Semaphore(0)
    for message in messages:
        transport.send(Address(topic, 0), message, lambda _: stored.release())
        assert together or stored.acquire(timeout=10)
    send(transport, topic, 1, partition=1)
    got = {(d.receipt.partition, d.receipt.offset): d for d in taken(receiver, 5)}

    assert time.monotonic() - began < 1.5
    assert [got[0, n].problem is None for n in range(3)] == [True, False, True]
    assert [got[0, n].message for n in (0, 2)] == [messages[0], messages[2]]
    assert got[0, 1].message == Message(b"")
    assert "can't decode" in got[0, 1].problem


def test_a_batch_that_can_not_be_read_is_tried_and_then_stepped_over(kit, taken, monkeypatch):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    receiver = transport.receiver(Address(topic), shared=True)
    tried = []

    def wanted(self, batch, stock=TolerantRecords._wanted):
        if batch.base_offset == 1:
            tried.append(batch.base_offset)
            batch._buffer[-1] ^= 0xFF
        return stock(self, batch)

    monkeypatch.setattr(TolerantRecords, "_wanted", wanted)
    for _ in range(3):
        send(transport, topic, 1)

    assert offsets(taken(receiver, 2)) == [0, 2]
    assert 3 <= len(tried) <= 4


def test_a_batch_that_is_whole_at_the_second_try_is_delivered(kit, taken, monkeypatch):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    receiver = transport.receiver(Address(topic), shared=True)
    tried = []

    def wanted(self, batch, stock=TolerantRecords._wanted):
        tried.append(batch.base_offset)
        if len(tried) == 1:
            batch._buffer[-1] ^= 0xFF
        return stock(self, batch)

    monkeypatch.setattr(TolerantRecords, "_wanted", wanted)
    send(transport, topic, 3)

    assert offsets(taken(receiver, 3)) == [0, 1, 2]


def test_a_poll_that_hangs_is_left_behind(kit, taken, raw_name, outcome_of, eventually):
    topic, transport = kit.topic(1), kit.transport(**QUICK, join_timeout=1, poll_timeout=0.5)
    receiver = transport.receiver(Address(topic), shared=True)
    session = receiver._session
    # As stock reads, which never comes back from this record.
    session.member._fetcher.PartitionRecords = Fetcher.PartitionRecords
    outcome_of(transport, Address(topic, 0), Message(b"", ((raw_name(b"\xff"), b""),)))
    send(transport, topic, 1)

    assert offsets(taken(receiver, 2)) == [0, 1]
    assert receiver._session is not session
    eventually(lambda: not session._thread.is_alive())


@pytest.fixture
def polling(monkeypatch):
    """Note which threads poll a receiver's member."""

    def watch(receiver):
        threads, member = [], receiver._session.member
        poll = member.next_records
        monkeypatch.setattr(
            member,
            "next_records",
            lambda wait: (threads.append(threading.current_thread()), poll(wait))[1],
        )
        return threads

    return watch


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_who_waits_for_messages_polls_and_while_nobody_does_the_session_goes_on(
    kit, polling, eventually, client
):
    topic, transport = kit.topic(1), kit.transport(**QUICK, client=client)
    receiver = transport.receiver(Address(topic), shared=True)
    threads, here = polling(receiver), threading.current_thread()
    eventually(lambda: receiver.receive(0.3) == () and here in threads)
    sending = threading.Thread(target=send, args=(transport, topic, 20))
    sending.start()
    threads.clear()
    got = []
    while len(got) < 20:
        got += receiver.receive(0.3)
    sending.join()
    assert threads.count(here) > 0.8 * len(threads)
    threads.clear()
    eventually(lambda: receiver._session._thread in threads)
    send(transport, topic, 1)
    eventually(lambda: receiver._backlog.messages == 1)

    assert here not in threads
    assert offsets(receiver.receive(1)) == [20]


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_poll_of_who_waits_that_hangs_is_left_behind(kit, taken, monkeypatch, eventually, client):
    topic = kit.topic(1)
    transport = kit.transport(**QUICK, join_timeout=1, poll_timeout=0.5, client=client)
    receiver = transport.receiver(Address(topic), shared=True)
    session, shut, hung = receiver._session, threading.Event(), []
    poll, close = session.member.next_records, session.member.shut

    def hang(wait):
        if threading.current_thread() is session._thread:
            return poll(wait)
        hung.append(wait)
        shut.wait(20)
        return []

    monkeypatch.setattr(session.member, "next_records", hang)
    monkeypatch.setattr(session.member, "shut", lambda wait: (shut.set(), close(wait)))
    eventually(lambda: receiver.receive(0.1) == () and receiver._session is not session)
    send(transport, topic, 1)

    assert hung
    assert offsets(taken(receiver, 1)) == [0]


def test_a_join_that_comes_to_nothing_is_begun_anew(kit, taken, eventually):
    topic, transport = kit.topic(1), kit.transport(**QUICK, join_timeout=1, poll_timeout=0.5)
    receiver = transport.receiver(Address(topic), shared=True)
    session = receiver._session

    async def never():
        await session.member._net.sleep(3600)

    session.member._coordinator._do_join_and_sync_async = never
    session.member._coordinator.request_rejoin()
    eventually(lambda: receiver.receive(0.1) == () and receiver._session is not session)
    send(transport, topic, 1)

    assert offsets(taken(receiver, 1)) == [0]


def test_closing_is_bounded_and_ends_who_waits(kit, eventually):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    receiver = transport.receiver(Address(topic), shared=True)
    ended = []
    waiting = threading.Thread(target=lambda: ended.append(receiver.receive(60)))
    waiting.start()
    began = time.monotonic()
    receiver.close(3)
    waiting.join(5)

    assert ended == [()]
    assert time.monotonic() - began < 3
    receiver.close(3)


@pytest.mark.alone
def test_a_deleted_topic_is_told_and_made_anew_it_is_read(kit, taken, eventually):
    topic, transport = kit.topic(1), kit.transport(**QUICK, address_timeout=0.5)
    receiver = transport.receiver(Address(topic), shared=True)
    send(transport, topic, 3)
    taken(receiver, 3)
    kit.admin.delete_topics([topic])
    with pytest.raises(AddressUnknown, match=f"topic {topic} was deleted"):
        receive_for(receiver, 20)
    polls = next(t for t in threading.enumerate() if t.name == f"rpc-kafka-poll-test-{topic}")
    clock = time.pthread_getcpuclockid(polls.ident)
    used, began = time.clock_gettime(clock), time.monotonic()
    with pytest.raises(AddressUnknown):
        receive_for(receiver, 20)
    share = (time.clock_gettime(clock) - used) / (time.monotonic() - began)
    kit.admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})

    def told_or_taken():
        try:
            return [d.message.body for d in receiver.receive(0.5)]
        except AddressUnknown:
            return []

    kit.admin.wait_for_topics([topic])
    transport.prepare(Address(topic), 10)
    send(transport, topic, 2)
    got = []
    eventually(lambda: got.extend(told_or_taken()) or len(got) == 2)

    assert share < 0.2
    assert got == [b"0", b"1"]


def test_a_partition_of_a_group_can_not_be_asked_for(kit):
    with pytest.raises(ConfigurationError, match="leave the partition away"):
        kit.transport().receiver(Address("t", 3), shared=True)


def test_the_group_is_named_after_the_topic_with_a_prefix(kit, taken):
    topic, transport = kit.topic(1), kit.transport(**QUICK, group_prefix="shop.")
    receiver = transport.receiver(Address(topic), shared=True)
    send(transport, topic, 1)
    taken(receiver, 1)
    receiver.close(5)

    (offsets,) = kit.admin.list_group_offsets(f"shop.{topic}").values()
    assert offsets[TopicPartition(topic, 0)].offset == 1


def test_a_member_without_partitions_stays_in_the_group_and_gets_them_when_they_are_free(kit):
    topic, transport = kit.topic(1), kit.transport(**QUICK)
    first = kit.transport(**QUICK, client_id="a").receiver(Address(topic), shared=True)
    second = kit.transport(**QUICK, client_id="z").receiver(Address(topic), shared=True)
    receive_for(second, 2 * QUICK["session_timeout"])
    assert held(first) == [0]
    assert transport.group(topic, 5).members == 2
    began = time.monotonic()
    first.close(5)
    send(transport, topic, 1)

    assert offsets(receive_for(second, 1.5)) == [0]
    assert time.monotonic() - began < 3
