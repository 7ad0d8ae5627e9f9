# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""Looking at topics and groups, and creating topics. Owner: the thread that made it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    GroupIdNotFoundError,
    KafkaError,
    NoError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka.protocol.admin import DescribeGroupsRequest
from kafka.protocol.metadata import CoordinatorType

from transports.kafka.driver.client import Client

__all__ = ["Admin", "GroupFacts", "TopicFacts"]


class TopicFacts(NamedTuple):
    """What a topic is, and what we may do with it."""

    partitions: int
    ready: bool
    """Whether every partition has a leader."""
    rights: frozenset[str] | None
    """Operations allowed to us, as `READ`; None where brokers don't tell."""


class GroupFacts(NamedTuple):
    """How a consumer group stands."""

    members: int
    committed: Mapping[int, int]
    """By partition of the topic asked about."""


class Admin(KafkaAdminClient):  # type: ignore[misc]  # kafka-python is untyped
    """The few administrative requests the transport makes, over a connected client."""

    def __init__(self, client: Client, settings: Mapping[str, object]) -> None:
        self.config = {**KafkaAdminClient.DEFAULT_CONFIG, **settings}
        self._metrics = None
        self._client = client
        self._manager = client._manager
        self._net = client._net
        self._controller_id = None
        self._closed = False

    def facts(self, topic: str) -> TopicFacts | None:
        """Return what `topic` is; None if there is none. Raises `KafkaError`."""
        (found,) = self.describe_topics([topic])
        error = for_code(found["error_code"])
        if error is UnknownTopicOrPartitionError:
            return None
        if error is not NoError:
            raise error(topic)
        partitions = found["partitions"]
        allowed = found.get("authorized_operations")
        rights = frozenset(map(str, allowed)) if isinstance(allowed, list) else None
        return TopicFacts(
            len(partitions),
            bool(partitions) and all(p["leader_id"] >= 0 for p in partitions),
            rights,
        )

    def brokers(self) -> int:
        """Return how many brokers the cluster has."""
        return len(self._manager.cluster.brokers())

    def topic_config(self, topic: str, names: list[str]) -> Mapping[str, str]:
        """Return those settings of `topic`; none where we may not see them."""
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, dict.fromkeys(names))
        try:
            found = self.describe_configs([resource], config_filter="all")
        except KafkaError:
            return {}
        values = found.get("topic", {}).get(topic, {})
        return {name: str(values[name]["value"]) for name in names if name in values}

    def create(
        self, topic: str, partitions: int, replication: int, configs: Mapping[str, str]
    ) -> None:
        """Create `topic`. Raises `KafkaError`."""
        self.create_topics(
            {
                topic: {
                    "num_partitions": partitions,
                    "replication_factor": replication,
                    "configs": dict(configs),
                }
            }
        )

    def group(self, group: str, topic: str, timeout: float) -> GroupFacts:
        """Return how `group` stands and how far it is in `topic`, within `timeout` seconds.

        Any thread, any number of them at once. Raises `KafkaError`, also where nobody ever was in
        the group since there is no topic.
        """
        manager = self._manager
        found: Any = self._net.run(
            manager.wait_for, manager.call_soon(self._group, group, topic), timeout * 1000
        )
        return GroupFacts(*found)

    async def _group(self, group: str, topic: str) -> GroupFacts:
        try:
            (description,) = (await self._described(group)).groups
            error = for_code(description.error_code)
            if error not in {NoError, GroupIdNotFoundError}:
                raise error(group)
            committed = (await self._async_list_group_offsets({group: None}))[group]
            if not description.members and not committed:
                await self._check_topic(topic)
        except KafkaError as failure:
            if failure.retriable:  # perhaps another broker keeps the group by now
                self._manager.cluster._coordinators.pop((CoordinatorType.GROUP, group), None)
            raise
        return GroupFacts(
            0 if error is GroupIdNotFoundError else len(description.members),
            {
                place.partition: found.offset
                for place, found in committed.items()
                if place.topic == topic and found.offset >= 0
            },
        )

    async def _check_topic(self, topic: str) -> None:
        """Raise what keeps us from `topic`, such as that there is none."""
        (found,) = (await self._get_cluster_metadata([topic]))["topics"]
        error = for_code(found["error_code"])
        if error is not NoError:
            raise error(topic)

    async def _described(self, group: str) -> Any:
        """Return the answer as it came: the members' own bytes are nothing to us."""
        node = await self._find_coordinator_id(group)
        answer: Any = self._manager.send(DescribeGroupsRequest(groups=[group]), node_id=node)
        return await answer

    def shut(self) -> None:
        """Close the client. Never raises."""
        self._closed = True
        self._client.shut()

    def __del__(self) -> None:
        """Nothing: `shut` is called explicitly."""
