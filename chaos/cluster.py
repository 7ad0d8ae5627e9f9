"""Brokers whose clients come through proxies, and what a nemesis does to them.

Each broker has a listener more, CLIENT, that tells clients the proxy's address: whoever is given
`bootstrap` talks to every broker through its proxy. Brokers talk to one another directly, and so
does whoever is given `direct`.
"""

import contextlib
import os
import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING

from chaos.proxy import ProxyThread
from transports.kafka.broker import Cluster
from transports.kafka.broker.lifetime import Lifetime
from transports.kafka.broker.node import Node
from transports.kafka.broker.ports import free_ports
from transports.kafka.broker.properties import HOST, NO_PROPERTIES

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

__all__ = ["ProxiedCluster"]


class ProxiedCluster(Lifetime):
    """One or three brokers behind proxies, on loopback, in a temporary folder.

    As a context manager it starts and closes. For one thread at a time.
    """

    def __init__(
        self,
        nodes: int = 1,
        *,
        seed: int = 0,
        properties: Mapping[str, str] = NO_PROPERTIES,
        heap: str = "384m",
    ) -> None:
        ports = free_ports(2 * nodes)
        self._ports = [(ports[2 * i], ports[2 * i + 1]) for i in range(nodes)]

        def client_listener(node: int) -> Mapping[str, str]:
            behind, front = self._ports[node - 1]
            return {
                "listeners": f"CLIENT://{HOST}:{behind}",
                "advertised.listeners": f"CLIENT://{HOST}:{front}",
                "listener.security.protocol.map": "CLIENT:PLAINTEXT",
                # A broker that comes back leads again soon; by default it takes five minutes.
                "leader.imbalance.check.interval.seconds": "5",
                **properties,
            }

        self._threads = ProxyThread(seed)
        self.proxies = [
            self._threads.open(listen=front, upstream=behind)[0] for behind, front in self._ports
        ]
        """The proxy of each broker, in the order of `nodes`."""
        self._cluster = Cluster(nodes, properties=client_listener, heap=heap)
        self._stopped: set[int] = set()

    @property
    def bootstrap(self) -> str:
        """The addresses of the proxies."""
        return ",".join(f"{HOST}:{front}" for _, front in self._ports)

    @property
    def direct(self) -> str:
        """The addresses of the brokers themselves."""
        return self._cluster.bootstrap

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The brokers."""
        return self._cluster.brokers

    def start(self) -> None:
        """Start the brokers; return when each knows every other."""
        self._cluster.start()

    def close(self) -> None:
        """Kill the brokers, close the proxies, remove the folder; again: nothing."""
        for index in list(self._stopped):
            self.resume(index)
        self._cluster.close()
        self._threads.close()

    # -- what a nemesis does -------------------------------------------------------------------

    def kill(self, index: int) -> None:
        """End a broker as a power cut would."""
        self.resume(index)
        self.nodes[index].kill()

    def terminate(self, index: int) -> None:
        """Let a broker shut down in order."""
        self.resume(index)
        self.nodes[index].stop()

    def restart(self, *indices: int) -> None:
        """Start brokers that are down, and return when all know one another again."""
        for index in indices:
            if not self.nodes[index].running:
                self.nodes[index].launch()
        everyone = frozenset(range(1, len(self.nodes) + 1))
        for node in self.nodes:
            node.await_ready(everyone)

    def pause(self, index: int) -> None:
        """Stop a broker's process where it stands (SIGSTOP)."""
        os.kill(self.nodes[index].pid, signal.SIGSTOP)
        self._stopped.add(index)

    def resume(self, index: int) -> None:
        """Let a paused broker go on; one that is not paused goes on anyway."""
        self._stopped.discard(index)
        if self.nodes[index].running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.nodes[index].pid, signal.SIGCONT)

    def grow(self, topic: str, partitions: int) -> None:
        """Give a topic so many partitions in all."""
        from confluent_kafka.admin import NewPartitions  # noqa: PLC0415 - only where it is asked

        admin = self._admin()  # what it was asked is given up where nobody keeps it
        admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(15)

    # -- who is who ----------------------------------------------------------------------------

    def leader(self, topic: str, partition: int) -> int | None:
        """Return the index of the broker that leads a partition; None while nobody does."""
        found = self._admin().list_topics(topic, timeout=10).topics[topic].partitions.get(partition)
        return found.leader - 1 if found is not None and found.leader > 0 else None

    def coordinator(self, group: str) -> int | None:
        """Return the index of the broker that coordinates a group; None while nobody does."""
        from confluent_kafka import KafkaError, KafkaException  # noqa: PLC0415 - likewise

        admin = self._admin()
        try:
            told = admin.describe_consumer_groups([group], request_timeout=10)[group].result(15)
        except KafkaException as failure:
            if failure.args[0].code() in {
                KafkaError.NOT_COORDINATOR,
                KafkaError.COORDINATOR_NOT_AVAILABLE,
                KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
            }:
                return None
            raise
        return told.coordinator.id - 1 if told.coordinator is not None else None

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        return len(self._admin().list_topics(topic, timeout=10).topics[topic].partitions)

    def _admin(self) -> "AdminClient":
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - only where it is asked

        return AdminClient({"bootstrap.servers": self.direct, "log_level": 0})
