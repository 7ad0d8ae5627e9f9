"""Joins and positions in a group: the stock coordinator's traps, and that ours has none of them."""

import logging
import os
import signal
import threading
import time
import uuid

import pytest
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.errors import KafkaTimeoutError
from kafka.future import Future
from kafka.structs import MemberState, OffsetAndMetadata, TopicPartition

from transports.base import Address, Message
from transports.kafka import KafkaConfig, KafkaTransport
from transports.kafka.broker import Broker
from transports.kafka.connection import connect, driver_settings
from transports.kafka.driver.client import Manager
from transports.kafka.driver.consume import Consumer
from transports.kafka.driver.coordinate import SteadyCoordinator

IDLE = threading.Event()


class ForgetsPositions(ConsumerCoordinator):
    """Stock, with nothing but our forgetting of positions."""

    async def _on_join_prepare_async(self, *args, **options):
        await super()._on_join_prepare_async(*args, **options)
        self._subscription.assign_from_subscribed([])


class LosesAJoin(SteadyCoordinator):
    """Ours, whose first join ends as one does whose connection could not be made in time."""

    lost = False

    async def _do_join_and_sync_async(self):
        if not self.lost:
            self.lost = True
            raise KafkaTimeoutError("I/O wait timed out")
        return await super()._do_join_and_sync_async()


class AsksTheClient(SteadyCoordinator):
    """Ours, but for how it sees whether the coordinator can be reached."""

    coordinator = ConsumerCoordinator.coordinator


class Watch(ConsumerRebalanceListener):
    def __init__(self):
        self.revoked = threading.Event()

    def on_partitions_revoked(self, revoked):
        if revoked:
            self.revoked.set()

    def on_partitions_assigned(self, assigned):
        pass


@pytest.fixture
def member(bootstrap):
    """Join a group with a coordinator of the given class; all are closed at the end."""
    opened = []

    def join(topic, group, coordinator, client_id="test", *, prefetch=True, at=bootstrap):
        config = KafkaConfig(bootstrap=(at,), client_id=client_id, metadata_max_age=0.3)
        settings = {
            **driver_settings(config),
            "group_id": group,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "session_timeout_ms": 6000,
            "heartbeat_interval_ms": 100,
            "fetch_max_wait_ms": 50,
        }
        consumer = Consumer(connect(config, settings), settings, topic)
        consumer._cluster._listeners.clear()
        consumer._coordinator = coordinator(
            consumer._client,
            consumer._subscription,
            assignors=[RangePartitionAssignor],
            **consumer.config,
        )
        if prefetch:
            consumer.find_topic(5)
        consumer.watch = Watch()
        consumer.subscribe([topic], listener=consumer.watch)
        consumer._coordinator._handle_metadata_update(consumer._cluster)
        opened.append(consumer)
        return consumer

    yield join
    for consumer in opened:
        consumer.shut(1)


@pytest.fixture
def joins(caplog):
    """Count the JoinGroup requests that were sent."""
    caplog.set_level(logging.INFO, "kafka.coordinator")
    return lambda: sum("(Re-)joining" in record.getMessage() for record in caplog.records)


@pytest.fixture
def lookups(kit, member, caplog, monkeypatch):
    """Count how often the coordinator is looked up while its connection takes a second."""
    caplog.set_level(logging.INFO, "kafka.coordinator")
    topic, made, build = kit.topic(1), Future(), Manager._build_transport

    async def wait_and_build(self, node, timeout_at=None):
        if str(node.node_id).startswith("coordinator"):
            await made
        return await build(self, node, timeout_at)

    def count(coordinator):
        consumer = member(topic, topic, coordinator)
        consumer.poll(1000)
        found = sum("Discovered" in record.getMessage() for record in caplog.records)
        made.success(None)
        assert poll_in_haste(consumer, lambda: assigned(consumer) == {0}, 10)
        return found

    monkeypatch.setattr(Manager, "_build_transport", wait_and_build)
    return count


def assigned(consumer):
    return {tp.partition for tp in consumer.assignment()}


def poll_in_haste(consumer, until, seconds, work=0.05):
    """Look in without waiting, with some work between, as an owner of many things does."""
    deadline = time.monotonic() + seconds
    while not until() and time.monotonic() < deadline:
        consumer.poll(0)
        IDLE.wait(work)
    return until()


def test_stock_throws_finished_joins_away_and_joins_again(kit, member, joins):
    def again_and_again():
        topic, before = kit.topic(2), joins()
        consumer = member(topic, topic, ConsumerCoordinator)
        return poll_in_haste(consumer, lambda: joins() > before + 5, 5)

    assert any(again_and_again() for _ in range(5))  # now and then stock is in luck


def test_a_join_that_finished_between_two_polls_is_applied(kit, member, joins):
    topic = kit.topic(2)
    consumer = member(topic, topic, SteadyCoordinator)

    assert poll_in_haste(consumer, lambda: assigned(consumer) == {0, 1}, 10)
    # One to be given a member id, one to join with it, one for metadata that came meanwhile.
    assert joins() <= 3


def test_stock_waits_for_ever_for_a_join_that_new_metadata_caused(kit, member, joins):
    topic = kit.topic(1)
    consumer = member(topic, topic, ConsumerCoordinator)
    while assigned(consumer) != {0}:
        consumer.poll(1000)
    before = joins()
    kit.admin.create_partitions({topic: 2})

    poll_in_haste(consumer, lambda: joins() > before, 5)
    poll_in_haste(consumer, lambda: assigned(consumer) == {0, 1}, 2)

    assert assigned(consumer) == {0}
    assert consumer.group_metadata().state == MemberState.REBALANCING


def test_a_join_that_new_metadata_caused_is_applied(kit, member):
    topic = kit.topic(1)
    consumer = member(topic, topic, SteadyCoordinator)
    while assigned(consumer) != {0}:
        consumer.poll(1000)
    kit.admin.create_partitions({topic: 2})

    assert poll_in_haste(consumer, lambda: assigned(consumer) == {0, 1}, 10)


def test_a_join_that_ended_by_a_timeout_of_its_own_is_begun_anew(kit, member):
    topic = kit.topic(1)
    consumer = member(topic, topic, LosesAJoin)

    assert poll_in_haste(consumer, lambda: assigned(consumer) == {0}, 10)


def test_asked_as_stock_does_a_coordinator_is_looked_up_all_the_time_its_connection_is_made(
    lookups,
):
    assert lookups(AsksTheClient) > 50


def test_a_coordinator_is_looked_up_once_while_its_connection_is_made(lookups):
    assert lookups(SteadyCoordinator) == 1


def read_on(consumer, count, topic):
    """Poll until so many records have come, commit behind them, and return their offsets."""
    offsets = []
    while len(offsets) < count:
        for records in consumer.poll(1000).values():
            offsets += [record.offset for record in records]
    consumer.commit({TopicPartition(topic, 0): OffsetAndMetadata(offsets[-1] + 1, "", -1)})
    return offsets


def miss_a_generation(kit, member, coordinator):
    """Return what a member reads after it slept through another one's generation."""
    topic, transport = kit.topic(1), kit.transport()
    group = f"group-{uuid.uuid4().hex[:8]}"
    send = transport.send
    for _ in range(5):
        send(Address(topic, 0), Message(b"before"), lambda _: None)
    # The range assignor gives the only partition to the first member by name.
    sleeper = member(topic, group, coordinator, client_id="z")
    assert read_on(sleeper, 5, topic) == [0, 1, 2, 3, 4]
    sleeper.watch.revoked.clear()
    other = member(topic, group, SteadyCoordinator, client_id="a")
    others = []
    reading = threading.Thread(target=lambda: others.extend(read_on(other, 5, topic)))
    reading.start()
    # Asleep as soon as its join is sent, so that nobody looks at the outcome.
    poll_in_haste(sleeper, sleeper.watch.revoked.is_set, 20)
    for _ in range(5):
        send(Address(topic, 0), Message(b"meanwhile"), lambda _: None)
    reading.join(30)
    other.shut(5)
    assert others == [5, 6, 7, 8, 9]
    send(Address(topic, 0), Message(b"after"), lambda _: None)
    read, deadline = [], time.monotonic() + 20
    while 10 not in read and time.monotonic() < deadline:
        for records in sleeper.poll(500).values():
            read += [record.offset for record in records]
    return read


def test_stock_reads_again_what_others_handled_in_a_generation_it_missed(kit, member):
    assert miss_a_generation(kit, member, ConsumerCoordinator) == [5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("coordinator", [SteadyCoordinator, ForgetsPositions])
def test_what_others_handled_in_a_missed_generation_is_not_read_again(kit, member, coordinator):
    assert miss_a_generation(kit, member, coordinator) == [10]


def test_leaving_in_the_middle_of_a_join_lets_the_others_go_on_at_once(kit, member):
    topic = kit.topic(2)
    stays = member(topic, topic, SteadyCoordinator)
    while assigned(stays) != {0, 1}:
        stays.poll(1000)
    leaves = member(topic, topic, SteadyCoordinator)
    # Its join waits for the one that stays, which does not poll now.
    while not leaves._coordinator.rebalance_in_progress():
        leaves.poll(50)
    began = time.monotonic()

    leaves.shut(3)
    while assigned(stays) != {0, 1} or not stays._coordinator.stable():
        stays.poll(100)

    assert time.monotonic() - began < 3


@pytest.mark.alone
@pytest.mark.parametrize(
    ("coordinator", "bounds"),
    [(ConsumerCoordinator, (200, 10**6)), (SteadyCoordinator, (1, 40))],
    ids=["stock spins", "ours waits"],
)
def test_a_poll_while_a_frozen_broker_owes_an_answer_to_a_heartbeat(
    member, freeze, monkeypatch, coordinator, bounds
):
    looks = []
    with (
        Broker() as broker,
        KafkaTransport(KafkaConfig(bootstrap=(broker.bootstrap,), partitions=1)) as transport,
    ):
        transport.prepare(Address("frozen"), 10)
        consumer = member("frozen", "frozen", coordinator, at=broker.bootstrap)
        while assigned(consumer) != {0}:
            consumer.poll(1000)
        freeze(broker.pid)
        while consumer._coordinator.time_to_next_heartbeat() > 0:
            consumer.poll(10)
        poll = consumer._coordinator.poll
        monkeypatch.setattr(
            consumer._coordinator, "poll", lambda **options: looks.append(1) or poll(**options)
        )
        consumer.poll(1000)
        os.kill(broker.pid, signal.SIGCONT)

    assert bounds[0] <= len(looks) <= bounds[1]
