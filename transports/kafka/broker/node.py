"""One node: a folder, a JVM that runs in it, and what can be done to it from outside.

    folder/.lock               held while the JVM runs
    folder/server.properties   written anew at each start
    folder/broker.log          what the JVM printed, appended
    folder/data/               Kafka's own

The caller owns the folder. A node belongs to one thread at a time.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from transports.kafka.broker.cache import exclusive
from transports.kafka.broker.errors import BrokerError
from transports.kafka.broker.log_tail import log_tail
from transports.kafka.broker.ports import is_free
from transports.kafka.broker.probe import ask_known_brokers
from transports.kafka.broker.process import GuardedProcess
from transports.kafka.broker.properties import HOST, Member, server_properties, write_properties
from transports.kafka.broker.runtime import Runtime
from transports.kafka.broker.storage import format_by_tool, format_storage, is_formatted

__all__ = ["Node", "NodeSpec"]

_POLL = 0.02
_START_TIMEOUT = 90.0


class NodeSpec(NamedTuple):
    """What a node is; it stays this over restarts."""

    member: Member
    members: Sequence[Member]
    cluster_id: str
    properties: Mapping[str, str]
    scram_users: Mapping[str, str]
    heap: str


class Node:
    """A Kafka node that can be started, stopped, killed and started again on its ports and folder.

    `prepare` is called once, at the first start, and gives what the node runs on.
    """

    def __init__(self, spec: NodeSpec, folder: Path, prepare: Callable[[], Runtime]) -> None:
        self._spec, self._folder, self._prepare = spec, folder, prepare
        self._runtime: Runtime | None = None
        self._process: GuardedProcess | None = None
        self._held = ExitStack()
        self._log_start = 0

    @property
    def port(self) -> int:
        """The port for clients, on loopback."""
        return self._spec.member.port

    @property
    def bootstrap(self) -> str:
        """The address for clients, as `host:port`."""
        return self._spec.member.address

    @property
    def log_path(self) -> Path:
        """The file that holds what the broker printed."""
        return self._folder / "broker.log"

    @property
    def pid(self) -> int:
        """The id of the JVM's process; raises BrokerError when none was started."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether the JVM runs."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start, and return when topics can be created here; when it runs already, do nothing.

        Raises BrokerError: with the end of the log, where Kafka itself gave up.
        """
        if not self.running:
            self.launch()
            self.await_ready(frozenset({self._spec.member.node_id}))

    def launch(self) -> None:
        """Start, and return before it is ready."""
        self._runtime = self._runtime or self._prepare()
        self.kill()  # what is left of one that ended by itself
        self._check_ports()
        try:
            self._launch(self._runtime)
        except OSError as error:
            raise BrokerError(
                f"The broker cannot be started in {self._folder} ({error}): "
                "choose another folder, or correct its rights"
            ) from error
        finally:
            if self._process is None:
                self._held.close()

    def await_ready(self, members: frozenset[int]) -> None:
        """Return when this node knows all of `members` to be ready; raises BrokerError."""
        process, deadline = self._started(), time.monotonic() + _START_TIMEOUT
        while not members <= ask_known_brokers(HOST, self.port, timeout=5.0):
            if process.ended_within(_POLL):
                self.kill()
                raise BrokerError(f"Kafka ended while it started.{self._log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise BrokerError(
                    f"Kafka was not ready after {_START_TIMEOUT:.0f} s.{self._log_tail()}"
                )

    def wait(self) -> None:
        """Block until the JVM ends by itself, which is an error; raises BrokerError."""
        self._started().ended_within(None)
        raise BrokerError(f"Kafka ended by itself.{self._log_tail()}")

    def stop(self, timeout: float = 10.0) -> None:
        """Shut down in order, killing what still runs after `timeout` seconds; again: nothing."""
        if self._process is not None:
            self._process.terminate(timeout)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a power cut would, and wait until it is gone; again: nothing."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        self._held.close()

    def _started(self) -> GuardedProcess:
        if self._process is None:
            raise BrokerError(f"The broker at {self.bootstrap} is not running: start it first")
        return self._process

    def _check_ports(self) -> None:
        for port in (self.port, self._spec.member.controller_port):
            if not is_free(port):
                raise BrokerError(
                    f"Port {port} on {HOST} is in use by another process: "
                    "stop that, or choose another port"
                )

    def _launch(self, runtime: Runtime) -> None:
        self._hold_folder()
        self._format(runtime)
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        command = runtime.command(self._spec.heap, "kafka.Kafka", self._properties_path)
        self._process = GuardedProcess(command, self._folder, self.log_path)

    def _hold_folder(self) -> None:
        """Keep others out: Kafka itself looks only after it has written to the metadata log."""
        if not self._held.enter_context(exclusive(self._folder / ".lock", wait=False)):
            raise BrokerError(
                f"Another broker runs in {self._folder}: stop that, or choose another folder"
            )

    def _format(self, runtime: Runtime) -> None:
        spec, data = self._spec, self._folder / "data"
        settings = server_properties(spec.member, spec.members, data, spec.properties)
        self._properties_path.write_text(write_properties(settings), "ascii")
        if is_formatted(data):
            return
        if spec.scram_users:
            format_by_tool(runtime, self._properties_path, spec.cluster_id, spec.scram_users)
        else:
            format_storage(data, spec.cluster_id, spec.member.node_id)

    @property
    def _properties_path(self) -> Path:
        return self._folder / "server.properties"

    def _log_tail(self) -> str:
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            said = log_tail(log.read().decode("utf-8", "replace"))
        return f" The end of {self.log_path}:\n{said}"
