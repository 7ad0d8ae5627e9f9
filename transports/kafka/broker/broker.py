"""A broker for development and tests: one node, in a temporary or a given folder."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from transports.kafka.broker.folder import TemporaryFolder, open_folder, temporary_folder
from transports.kafka.broker.lifetime import Lifetime
from transports.kafka.broker.node import Node, NodeSpec
from transports.kafka.broker.ports import free_ports
from transports.kafka.broker.prepare import prepare
from transports.kafka.broker.progress import OnProgress, silent
from transports.kafka.broker.properties import NO_PROPERTIES, Member
from transports.kafka.broker.storage import new_kafka_id

__all__ = ["Broker"]


class Broker(Node, Lifetime):
    """A real Apache Kafka on loopback, in a child process that ends with this one.

    `port` is the clients' port, or None for a free one. `data` is a folder that is kept, with the
    topics in it; without it the folder is temporary and `close` removes it. `properties` are
    Kafka's own and go before ours; listeners are added to ours. `scram_users` are names and
    passwords, made with the folder, for both SCRAM mechanisms. `heap` is the JVM's `-Xmx`.
    `fast_start` leaves out the JVM's optimising compiler: starting costs less, and what runs for
    minutes under load, as a benchmark does, goes slower.

    Making one takes ports and a folder, and raises BrokerError for one that cannot be used; nothing
    runs before `start`. As a context manager it starts and closes. For one thread at a time.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        data: Path | str | None = None,
        properties: Mapping[str, str] = NO_PROPERTIES,
        scram_users: Mapping[str, str] = NO_PROPERTIES,
        heap: str = "384m",
        fast_start: bool = True,
        on_progress: OnProgress = silent,
    ) -> None:
        first, second, third = free_ports(3)
        own = port or first
        member = Member(1, own, third if own == second else second)
        self._temporary: TemporaryFolder | None = None
        if data is None:
            self._temporary = temporary_folder()
            data = self._temporary.name
        spec = NodeSpec(member, (member,), new_kafka_id(), properties, scram_users, heap)
        super().__init__(
            spec, open_folder(Path(data)), partial(prepare, on_progress, fast_start=fast_start)
        )

    def close(self) -> None:
        """Stop, and remove the folder when it is temporary; again: nothing."""
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()
