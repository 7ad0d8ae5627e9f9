"""Topics that fit: looked at, created where they are missing and that is allowed."""

import time
from collections.abc import Mapping
from typing import Literal, NamedTuple

from transports.errors import AddressUnknown, NotAuthorized, Unreachable
from transports.kafka.config import KafkaConfig
from transports.kafka.connection import connect, driver_settings
from transports.kafka.driver import kafka_errors
from transports.kafka.driver.admin import Admin, TopicFacts
from transports.kafka.errors import topic_failure
from transports.kafka.fit_topics import TopicPurpose
from transports.log import get_logger

__all__ = ["TopicPlan", "ensure_topic", "most_bytes", "plan_topic"]

_log = get_logger(__name__)
_LOOK_AGAIN = 0.03
_DEAD_LETTER_PARTITIONS = 3
_REASON_BYTES = 16_384

_RIGHTS: Mapping[str, str] = {"READ": "Read", "WRITE": "Write"}


class TopicPlan(NamedTuple):
    """What a topic is created with."""

    topic: str
    partitions: int
    replication: int
    configs: Mapping[str, str]

    def command(self) -> str:
        """Return the command that an operator would create it with."""
        configs = "".join(f" --config {name}={value}" for name, value in self.configs.items())
        return (
            f"kafka-topics.sh --create --topic {self.topic} --partitions {self.partitions} "
            f"--replication-factor {self.replication}{configs}"
        )


def most_bytes(config: KafkaConfig, purpose: TopicPurpose) -> int:
    """Return how large a message a topic takes: a dead letter has its reason with it."""
    return config.max_message_bytes + (_REASON_BYTES if purpose == "dead letter" else 0)


def plan_topic(config: KafkaConfig, topic: str, purpose: TopicPurpose, brokers: int) -> TopicPlan:
    """Return what fits `purpose` on a cluster of so many brokers.

    Broker time on records is what deadlines are measured by; `uncompressed` makes the broker check
    the size of what is inside, so that a small batch can't unfold into a huge one.
    """
    replication = config.replication or min(3, max(1, brokers))
    partitions, retention = {
        "request": (config.partitions, config.request_retention),
        "reply": (config.reply_partitions, config.reply_retention),
        "dead letter": (_DEAD_LETTER_PARTITIONS, config.dead_letter_retention),
    }[purpose]
    configs = {
        "message.timestamp.type": "LogAppendTime",
        "compression.type": "uncompressed",
        "cleanup.policy": "delete",
        "unclean.leader.election.enable": "false",
        "max.message.bytes": str(most_bytes(config, purpose)),
        "retention.ms": str(int(retention * 1000)),
    }
    if replication >= 3:
        configs["min.insync.replicas"] = "2"
    if purpose == "reply":
        configs["segment.ms"] = str(max(60_000, int(retention * 1000) // 3))
    return TopicPlan(topic, partitions, replication, configs)


def ensure_topic(
    config: KafkaConfig,
    topic: str,
    purpose: TopicPurpose,
    right: Literal["READ", "WRITE"],
    timeout: float,
) -> int:
    """Return how many partitions `topic` has, creating it where it is missing and that is allowed.

    Existing topics are left as they are; what doesn't fit in them is logged. Raises a
    `TransportError`: `NotAuthorized` where `right` is missing or creating is not allowed, naming
    the ACL or the command; `AddressUnknown`; `Unreachable` when `timeout` seconds don't suffice.
    """
    deadline = time.monotonic() + timeout
    settings = driver_settings(config)
    settings["request_timeout_ms"] = max(100, int(timeout * 1000))
    client = connect(config, settings, timeout=timeout)
    admin = Admin(client, settings)
    try:
        plan = plan_topic(config, topic, purpose, admin.brokers())
        return _ensure(admin, config, plan, right, deadline)
    except (kafka_errors.KafkaError, ValueError) as error:
        raise topic_failure(error, topic, "looking at", "Describe") from error
    finally:
        admin.shut()


def _ensure(admin: Admin, config: KafkaConfig, plan: TopicPlan, right: str, deadline: float) -> int:
    topic = plan.topic
    facts = _look(admin, topic)
    if facts is None:
        _create(admin, config, plan)
        facts = _await_ready(admin, topic, deadline)
    else:
        _compare(admin, plan)
    if facts.rights is not None and right not in facts.rights:
        raise topic_failure(
            kafka_errors.TopicAuthorizationFailedError(topic),
            topic,
            {"READ": "reading", "WRITE": "writing to"}[right],
            _RIGHTS[right],
        )
    return facts.partitions


def _look(admin: Admin, topic: str) -> TopicFacts | None:
    """Look at the topic; one that we may not see is taken for missing, as brokers do too."""
    try:
        return admin.facts(topic)
    except kafka_errors.TopicAuthorizationFailedError:
        return None


def _create(admin: Admin, config: KafkaConfig, plan: TopicPlan) -> None:
    if not config.create_topics:
        raise AddressUnknown(
            f"topic {plan.topic} does not exist, or may not be seen, and create_topics is off; "
            f"create it: {plan.command()}"
        )
    try:
        admin.create(plan.topic, plan.partitions, plan.replication, plan.configs)
        _log.info("kafka.topic_created", topic=plan.topic, partitions=plan.partitions)
    except kafka_errors.TopicAlreadyExistsError:
        return
    except kafka_errors.AuthorizationError as error:
        raise NotAuthorized(
            f"topic {plan.topic} does not exist, or may not be seen, and creating it is not "
            f"allowed; allow it (kafka-acls.sh --add --allow-principal User:... --operation Create "
            f"--operation Describe --topic {plan.topic}) or create it: {plan.command()}"
        ) from error
    except (
        kafka_errors.PolicyViolationError,
        kafka_errors.InvalidConfigurationError,
        kafka_errors.InvalidReplicationFactorError,
        kafka_errors.InvalidPartitionsError,
    ) as error:
        raise AddressUnknown(
            f"topic {plan.topic} does not exist, and the broker refuses to create it: {error}; "
            f"create it with settings that it takes, such as: {plan.command()}"
        ) from error


def _await_ready(admin: Admin, topic: str, deadline: float) -> TopicFacts:
    """Look until the brokers know the topic and its leaders; they tell each other a bit later."""
    while True:
        facts = admin.facts(topic)
        if facts is not None and facts.ready:
            return facts
        if time.monotonic() >= deadline:
            raise Unreachable(f"topic {topic} was created, but has no leaders yet; try again")
        time.sleep(_LOOK_AGAIN)


def _compare(admin: Admin, plan: TopicPlan) -> None:
    """Log where an existing topic differs in what matters."""
    wanted = {n: plan.configs[n] for n in ("message.timestamp.type", "compression.type")}
    found = admin.topic_config(plan.topic, list(wanted))
    for name, value in found.items():
        if value != wanted[name]:
            _log.warning(
                "kafka.topic_differs",
                topic=plan.topic,
                setting=name,
                found=value,
                wanted=wanted[name],
            )
