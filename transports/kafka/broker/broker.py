"""A broker for development and tests: one node, in a temporary or a given folder."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType, TracebackType
from typing import Self

from transports.kafka.broker.folder import open_folder
from transports.kafka.broker.node import Node, NodeSpec
from transports.kafka.broker.ports import free_ports
from transports.kafka.broker.prepare import prepare
from transports.kafka.broker.progress import OnProgress, silent
from transports.kafka.broker.properties import Member
from transports.kafka.broker.storage import new_kafka_id

__all__ = ["Broker"]

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Broker(Node):
    """A real Apache Kafka on loopback, in a child process that ends with this one.

    `port` is the clients' port, or None for a free one. `data` is a folder that is kept, with the
    topics in it; without it the folder is temporary and `close` removes it. `properties` are
    Kafka's own and go before ours; listeners are added to ours. `scram_users` are names and
    passwords, for both SCRAM mechanisms. `heap` is the JVM's `-Xmx`.

    Making one takes ports and a folder; nothing runs before `start`. As a context manager it starts
    and closes. For one thread at a time. Raises BrokerError for a folder that cannot be used, and
    ValueError for properties that contradict it.
    """

    def __init__(
        self,
        *,
        port: int | None = None,
        data: Path | str | None = None,
        properties: Mapping[str, str] = _NOTHING,
        scram_users: Mapping[str, str] = _NOTHING,
        heap: str = "384m",
        on_progress: OnProgress = silent,
    ) -> None:
        free, controller_port = free_ports(2)
        member = Member(1, port or free, controller_port)
        self._temporary: TemporaryDirectory[str] | None = None
        if data is None:
            self._temporary = TemporaryDirectory(prefix="rpc-broker-")
            data = self._temporary.name
        spec = NodeSpec(member, (member,), new_kafka_id(), properties, scram_users, heap)
        super().__init__(spec, open_folder(Path(data)), lambda: prepare(on_progress))

    def close(self) -> None:
        """Stop, and remove the folder when it is temporary; again: nothing."""
        self.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
