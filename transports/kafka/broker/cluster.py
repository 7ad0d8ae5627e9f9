"""Several brokers that replicate to one another, for tests of what a failing one does."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from transports.kafka.broker.folder import temporary_folder
from transports.kafka.broker.lifetime import Lifetime
from transports.kafka.broker.node import Node, NodeSpec
from transports.kafka.broker.ports import free_ports
from transports.kafka.broker.prepare import prepare
from transports.kafka.broker.progress import OnProgress, silent
from transports.kafka.broker.properties import NO_PROPERTIES, Member
from transports.kafka.broker.storage import new_kafka_id

__all__ = ["Cluster"]


class Cluster(Lifetime):
    """A Kafka cluster on loopback whose nodes are brokers and controllers, in a temporary folder.

    Each of `brokers` can be stopped, killed and started again by itself; as long as more than half
    of them run, the others go on. Topics have three replicas, two of them in sync, where there are
    as many nodes. `properties` are as in `Broker`, or a function of a node's id that returns them.
    As a context manager it starts and closes. For one thread at a time.
    """

    def __init__(
        self,
        nodes: int = 3,
        *,
        properties: Mapping[str, str] | Callable[[int], Mapping[str, str]] = NO_PROPERTIES,
        heap: str = "384m",
        on_progress: OnProgress = silent,
    ) -> None:
        ports = free_ports(2 * nodes)
        members = tuple(Member(i + 1, ports[2 * i], ports[2 * i + 1]) for i in range(nodes))
        self._folder = temporary_folder()
        self._members = members
        cluster_id = new_kafka_id()
        prepare_once = cache(lambda: prepare(on_progress))
        self.brokers = tuple(
            Node(
                NodeSpec(member, members, cluster_id, _of(member, properties), {}, heap),
                _subfolder(Path(self._folder.name), member),
                prepare_once,
            )
            for member in members
        )
        """The nodes, in the order of their ids from 1."""

    @property
    def bootstrap(self) -> str:
        """The addresses of all nodes, separated by commas."""
        return ",".join(member.address for member in self._members)

    def start(self) -> None:
        """Start what does not run; return when each node knows every other. Raises BrokerError."""
        for broker in self.brokers:
            if not broker.running:
                broker.launch()
        for broker in self.brokers:
            broker.await_ready(frozenset(member.node_id for member in self._members))

    def close(self) -> None:
        """Kill the nodes and remove the folder; again: nothing."""
        for broker in self.brokers:
            broker.kill()
        self._folder.cleanup()


def _of(
    member: Member, properties: Mapping[str, str] | Callable[[int], Mapping[str, str]]
) -> Mapping[str, str]:
    return properties(member.node_id) if callable(properties) else properties


def _subfolder(folder: Path, member: Member) -> Path:
    path = folder / str(member.node_id)
    path.mkdir()
    return path
