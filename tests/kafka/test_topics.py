"""Topics: created with what fits, left alone where they exist, and safe from bombs."""

import threading

import pytest
from kafka import KafkaProducer
from kafka.errors import MessageSizeTooLargeError
from structlog.testing import capture_logs

from transports.base import Address, Message, Receipt
from transports.errors import AddressUnknown, MessageTooLarge
from transports.kafka import KafkaConfig
from transports.kafka.topics import plan_topic

COMMON = {
    "message.timestamp.type": "LogAppendTime",
    "compression.type": "uncompressed",
    "cleanup.policy": "delete",
    "unclean.leader.election.enable": "false",
    "max.message.bytes": "1048576",
}
SHORT = {"reply_retention": 9}
DEAD = {"retention.ms": "1209600000", "max.message.bytes": str(1_048_576 + 16_384)}


@pytest.mark.parametrize(
    ("purpose", "brokers", "config", "partitions", "replication", "more"),
    [
        ("request", 1, {}, 12, 1, {"retention.ms": "86400000"}),
        ("request", 2, {}, 12, 2, {"retention.ms": "86400000"}),
        ("request", 3, {}, 12, 3, {"retention.ms": "86400000", "min.insync.replicas": "2"}),
        ("request", 9, {}, 12, 3, {"retention.ms": "86400000", "min.insync.replicas": "2"}),
        ("request", 0, {}, 12, 1, {"retention.ms": "86400000"}),
        ("request", 3, {"replication": 1}, 12, 1, {"retention.ms": "86400000"}),
        ("request", 1, {"partitions": 3}, 3, 1, {"retention.ms": "86400000"}),
        ("reply", 1, {}, 16, 1, {"retention.ms": "900000", "segment.ms": "300000"}),
        ("dead letter", 3, {}, 3, 3, DEAD | {"min.insync.replicas": "2"}),
        ("dead letter", 1, {"dead_letter_retention": 60, "partitions": 40}, 3, 1,
            DEAD | {"retention.ms": "60000"}),
        ("reply", 1, SHORT, 16, 1, {"retention.ms": "9000", "segment.ms": "60000"}),
    ],
)  # fmt: skip
def test_what_a_topic_is_made_with(purpose, brokers, config, partitions, replication, more):  # noqa: PLR0917 - a table
    plan = plan_topic(KafkaConfig(**config), "t", purpose, brokers)

    assert (plan.partitions, plan.replication) == (partitions, replication)
    assert plan.configs == COMMON | more


def test_the_command_creates_the_same_topic():
    command = plan_topic(KafkaConfig(), "users.requests", "request", 3).command()

    assert command.startswith(
        "kafka-topics.sh --create --topic users.requests --partitions 12 --replication-factor 3"
    )
    assert "--config message.timestamp.type=LogAppendTime" in command


def configs_of(kit, topic):
    from kafka.admin import ConfigResource, ConfigResourceType

    found = kit.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], "all")
    return {name: entry["value"] for name, entry in found["topic"][topic].items()}


def test_a_topic_is_made_as_planned(kit, topic_prefix):
    kit.transport(partitions=5, max_message_bytes=50_000).prepare(Address(topic_prefix), 10)

    found = configs_of(kit, topic_prefix)
    (described,) = kit.admin.describe_topics([topic_prefix])
    planned = COMMON | {"max.message.bytes": "50000", "retention.ms": "86400000"}
    assert {name: found[name] for name in planned} == planned
    assert len(described["partitions"]) == 5


def test_a_dead_letter_has_room_for_its_reason(kit, topic_prefix, outcome_of):
    transport, dead = kit.transport(max_message_bytes=50_000), f"{topic_prefix}.dead"
    transport.prepare(Address(topic_prefix), 10)
    transport.prepare(Address(dead), 10, purpose="dead letters")
    letter = Message(b"x" * 49_000, (("reason", b"y" * 8000),))

    assert isinstance(outcome_of(transport, Address(dead), letter), Receipt)
    assert isinstance(outcome_of(transport, Address(topic_prefix), letter), MessageTooLarge)
    assert configs_of(kit, dead)["retention.ms"] == "1209600000"


def test_many_may_prepare_one_topic_at_once(kit, topic_prefix):
    transports, failed = [kit.transport() for _ in range(4)], []

    def prepare(transport):
        try:
            transport.prepare(Address(topic_prefix), 20)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=prepare, args=(transport,)) for transport in transports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []


def test_a_topic_that_exists_is_left_as_it_is_and_what_does_not_fit_is_logged(kit):
    topic = kit.topic(2, message_timestamp_type="CreateTime", max_message_bytes="3000")
    before = configs_of(kit, topic)
    with capture_logs() as logged:
        kit.transport().prepare(Address(topic), 10)
    differ = [entry for entry in logged if entry["event"] == "kafka.topic_differs"]

    assert configs_of(kit, topic) == before
    assert {entry["topic"] for entry in differ} == {topic}
    assert {entry["setting"]: (entry["found"], entry["wanted"]) for entry in differ} == {
        "message.timestamp.type": ("CreateTime", "LogAppendTime"),
        "compression.type": ("producer", "uncompressed"),
    }


def test_where_creating_is_switched_off_the_command_is_told(kit, topic_prefix):
    transport = kit.transport(create_topics=False)

    with pytest.raises(AddressUnknown, match=f"kafka-topics.sh --create --topic {topic_prefix}"):
        transport.prepare(Address(topic_prefix), 10)


def test_what_the_broker_does_not_take_is_told_with_the_command(kit, topic_prefix):
    with pytest.raises(AddressUnknown, match="replication") as raised:
        kit.transport(replication=3).prepare(Address(topic_prefix), 10)

    assert f"kafka-topics.sh --create --topic {topic_prefix}" in str(raised.value)


def test_a_partition_that_is_not_there_is_told(kit):
    topic = kit.topic(3)

    with pytest.raises(AddressUnknown, match=f"topic {topic} has 3 partitions, and no 3"):
        kit.transport().prepare(Address(topic, 3), 10)


BOMB = b"\0" * (20 << 20)


def pack(kit, topic):
    """Send twenty megabytes packed into some twenty thousand bytes."""
    producer = KafkaProducer(
        bootstrap_servers=kit.bootstrap,
        max_request_size=1 << 28,
        batch_size=1 << 26,
        compression_type="gzip",
        enable_idempotence=False,
    )
    try:
        return producer.send(topic, BOMB, partition=0).get(30)
    finally:
        producer.close(timeout=1)


def test_a_broker_stores_a_bomb_by_default(kit):
    assert pack(kit, kit.topic(1)).offset == 0


def test_a_topic_that_we_made_refuses_a_bomb(kit, topic_prefix):
    kit.transport(partitions=1).prepare(Address(topic_prefix), 10)

    with pytest.raises(MessageSizeTooLargeError):
        pack(kit, topic_prefix)
