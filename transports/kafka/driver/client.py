# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""One connection manager of kafka-python, with its traps cured, connected or explained.

Owner: the thread that `open_client` was called from, until it hands the client on.
"""

import contextlib
import functools
import math
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from kafka.cluster import ClusterMetadata
from kafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
)
from kafka.future import Future
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.metadata import MetadataResponse

from transports.kafka.driver.loop import Loop
from transports.kafka.driver.sockets import close_socket, open_transport

__all__ = ["Client", "open_client"]

_FATAL = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError, IllegalSaslStateError)
_FATAL_WORDS = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER")
_ASIDE = "aside-"
_LOOKING = "metadata"
"""By what name stock counts how often in a row it found nobody to ask for metadata."""
_BUSY_WAIT_MS = 1000
_LOOK_AGAIN_MS = 100
_STOP_MS = 1000


class QuietCluster(ClusterMetadata):  # type: ignore[misc]  # kafka-python is untyped
    """Cluster metadata that creates no topic and doesn't wake the loop for what it knows.

    Stock, each pass over a partition without a leader asks for metadata and wakes the loop that
    would fetch it, which spins until the partition is back: for a deleted topic, for ever.
    """

    def __init__(self, **configs: object) -> None:
        super().__init__(**configs)
        self.config["allow_auto_create_topics"] = False

    def request_update(self) -> Any:
        with self._lock:
            asked = self._need_update and self._future is not None and not self._future.is_done
            if asked and self._refresh_loop_future is not None:
                return self._future
        return super().request_update()

    def update_metadata(self, metadata: Any) -> None:
        """Take an answer; ask again for topics that were added while it was under way."""
        super().update_metadata(metadata)
        if self._topics - {topic.name for topic in metadata.topics}:
            self._need_update = True

    def add_aside(self, broker: Any) -> str:
        """Return a name by which a second connection to `broker` can be made."""
        name = f"{_ASIDE}{broker.node_id}"
        self._coordinator_brokers[name] = MetadataResponse.MetadataResponseBroker(
            name, broker.host, broker.port, broker.rack
        )
        return name


class Manager(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python is untyped
    """Connections that remember why they failed; stock, that is only logged.

    And that keep their distance from who takes connections and never answers, as what stands before
    a broker that is gone: stock connects again at once, hundreds of times a second.
    """

    def __init__(self, net: NetworkSelector, **configs: object) -> None:
        super().__init__(net, **configs)
        self.cluster = QuietCluster(
            bootstrap_servers=self.config["bootstrap_servers"],
            metadata_max_age_ms=self.config["metadata_max_age_ms"],
            client_dns_lookup=self.config["client_dns_lookup"],
        )
        self.cluster.attach(self)
        self.trouble: BaseException | None = None
        """Why the last connection could not be made; None since one was."""
        self.refused: dict[object, BaseException] = {}
        self.transports: weakref.WeakSet[Any] = weakref.WeakSet()
        self.on_refused: Callable[[], None] = lambda: None

    def get_connection(self, node_id: object, *args: object, **options: object) -> Any:
        known = node_id in self._conns
        connection = super().get_connection(node_id, *args, **options)
        if not known:
            connection.heard = False  # `SteadyReads` says when something was
            connection.init_future.add_callback(self._made)
            connection.init_future.add_errback(functools.partial(self._failed, node_id))
            connection.close_future.add_both(functools.partial(self._over, node_id, connection))
        return connection

    def least_loaded_node(self) -> Any:
        """Return whom to ask; None where nobody can be reached for now.

        Stock knows nobody where all connections are full. Those of a producer, with room for one
        request each, are full again as soon as an answer is in: a busy one would never learn of a
        topic.
        """
        found = super().least_loaded_node()
        return self._aside() if found is None else found

    def _aside(self) -> str | None:
        """Return the name of a second connection to the busy broker that owes us the newest answer.

        That is no frozen one as long as another answers; a bootstrap server may be, or be gone.
        """

        def asked_at(broker: Any) -> float:
            waiting = self._conns[broker.node_id].in_flight_requests
            return waiting[0][2] if waiting else math.inf

        busy = [
            broker
            for broker in self.cluster.brokers()
            if (connection := self._conns.get(broker.node_id)) is not None
            and connection.connected
            and not self.connection_delay(f"{_ASIDE}{broker.node_id}")
        ]
        return self.cluster.add_aside(max(busy, key=asked_at)) if busy else None

    def reset_backoff(self, node_id: object) -> None:
        """Leave the failures of a node counted, though it took a connection: see `_over`.

        But forget that there was nobody to ask, as soon as there is somebody.
        """
        if node_id == _LOOKING:
            super().reset_backoff(node_id)

    def socket_connection_setup_timeout_ms(self, node_id: object) -> float:
        """Return how long a connection may take to be made: no longer than a request.

        Stock doubles this with each failure, up to half a minute, and what is to be sent on the
        connection waits for it without a limit of its own.
        """
        wanted: float = super().socket_connection_setup_timeout_ms(node_id)
        longest: float = self.config["request_timeout_ms"]
        return min(wanted, longest)

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
        transport = await open_transport(self._net, node, self.config, timeout_at)
        self.transports.add(transport)
        return transport

    def _made(self, _: object) -> None:
        self.trouble = None

    def _over(self, node_id: object, connection: Any, _: object) -> None:
        """Forget a node's failures if it let us in, and said something on what is over now.

        If it only took the connection, count one more; if it did not, that is counted already.
        """
        if connection.heard and connection.init_future.succeeded():
            super().reset_backoff(node_id)
        elif connection.parser is not None and not self.closed:
            if not connection.heard:
                why = f"broker {node_id} takes a connection and hangs up"
                self.trouble = KafkaConnectionError(why)
            self.update_backoff(node_id)

    def _failed(self, node_id: object, error: BaseException) -> None:
        if self.closed:
            return
        self.trouble = error
        if isinstance(error, _FATAL) or any(word in str(error) for word in _FATAL_WORDS):
            self.refused[node_id] = error
            self.on_refused()


class Client(KafkaNetClient):  # type: ignore[misc]  # kafka-python is untyped
    """The client that producers and consumers are built on."""

    def __init__(self, configs: Mapping[str, object]) -> None:
        net = Loop(**configs)
        super().__init__(net=net, manager=Manager(net, **configs))

    @property
    def trouble(self) -> BaseException | None:
        """Why brokers can't be reached at the moment, where that is known."""
        found: BaseException | None = self._manager.trouble
        return found

    def connection_delay(self, node_id: object) -> float:
        """Return milliseconds, as the sender takes it; stock returns seconds, and 0 when busy.

        A busy node would make the sender spin; its reply wakes the loop anyway.
        """
        connection = self._manager._conns.get(node_id)
        if connection is not None and (connection.paused or connection.initializing):
            return _BUSY_WAIT_MS
        delay: float = super().connection_delay(node_id)
        return delay * 1000

    def bootstrap(self, timeout: float, cancelled: Callable[[], bool]) -> None:
        """Find a broker; give up when every address has refused us, or soon after `cancelled`.

        Raises what the last connection met, or `KafkaTimeoutError`.
        """
        manager = self._manager
        gate = Future()
        wanted = len(manager.cluster.bootstrap_brokers())

        def settle(_: object = None) -> None:
            if not gate.is_done:
                gate.success(None)

        def refused() -> None:
            if len(manager.refused) >= wanted:
                settle()

        manager.on_refused = refused
        deadline = time.monotonic() + timeout
        found = manager.bootstrap_async(timeout * 1000)
        found.add_both(settle)
        while not gate.is_done and time.monotonic() < deadline and not cancelled():
            with contextlib.suppress(KafkaTimeoutError):
                self._net.run(manager.wait_for, gate, _LOOK_AGAIN_MS)
        if not found.succeeded():
            refusal = next(iter(manager.refused.values()), None)
            late = KafkaTimeoutError(f"no broker within {timeout} s")
            raise refusal or manager.trouble or found.exception or late

    def close(self, node_id: object = None) -> None:
        """Close one connection, or all and the loop.

        Stock closes connections under the loop's hands, and waits for ever for a loop that waits
        for a name server.
        """
        if node_id is None:
            self._net.stop(timeout_ms=_STOP_MS)
        super().close(node_id)

    def shut(self) -> None:
        """Close connections and the loop. Never raises.

        Stock leaves a socket open that still had something to send when the loop ended.
        """
        with contextlib.suppress(KafkaError, RuntimeError, OSError):
            self.close()
        for transport in list(self._manager.transports):
            close_socket(transport)


def open_client(
    configs: Mapping[str, object], *, timeout: float, cancelled: Callable[[], bool]
) -> Client:
    """Return a client that has reached a broker.

    Raises what stood in the way, and leaves nothing open then.
    """
    client = Client(configs)
    try:
        client.bootstrap(timeout, cancelled)
    except BaseException:
        client.shut()
        raise
    return client
