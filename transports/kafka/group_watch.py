"""How the group of a topic stands, asked of the brokers on a connection that is kept.

Owner: the client is opened and closed under `_lock`; callers drive its loop by turns, and so ask
beside each other.
"""

import threading
import time
from typing import TYPE_CHECKING

from transports.base import GroupState
from transports.errors import TransportClosed, Unreachable
from transports.kafka.config import KafkaConfig
from transports.kafka.connection import connect, driver_settings

if TYPE_CHECKING:
    from transports.kafka.driver.admin import Admin

__all__ = ["GroupWatch"]

_LOOK_AGAIN = 0.05


class GroupWatch:
    """Looks at groups for one transport; connects at the first look. Any thread."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._admin: Admin | None = None
        self._closed = False

    def look(self, topic: str, timeout: float) -> GroupState:
        """Return how the group of `topic` stands; see `Transport.group`."""
        from transports.kafka.driver import kafka_errors  # noqa: PLC0415 - imports kafka-python
        from transports.kafka.errors import group_look_failure  # noqa: PLC0415 - likewise

        deadline = time.monotonic() + timeout
        group = self._config.group_prefix + topic
        admin = self._opened(topic, deadline)
        while True:
            try:
                facts = admin.group(group, topic, max(0.0, deadline - time.monotonic()))
            except (kafka_errors.KafkaError, ValueError) as error:
                late = time.monotonic() + _LOOK_AGAIN >= deadline
                if late or self._closed or not _passes(error):
                    raise group_look_failure(error, topic, group) from error
                time.sleep(_LOOK_AGAIN)
            else:
                return GroupState(facts.members, facts.committed)

    def close(self) -> None:
        """Close the connection; again: nothing."""
        self._closed = True  # before the lock: whoever is connecting gives up
        with self._lock:
            admin, self._admin = self._admin, None
        if admin is not None:
            admin.shut()

    def _opened(self, topic: str, deadline: float) -> "Admin":
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise Unreachable(f"no broker was reached in time to ask for the group of {topic}")
        try:
            if self._closed:
                raise TransportClosed("the transport is closed")
            if self._admin is None:
                self._admin = self._open(max(0.0, deadline - time.monotonic()))
            return self._admin
        finally:
            self._lock.release()

    def _open(self, timeout: float) -> "Admin":
        settings = driver_settings(self._config)
        client = connect(
            self._config,
            settings,
            timeout=timeout,
            cancelled=lambda: self._closed,
        )
        from transports.kafka.driver.admin import Admin  # noqa: PLC0415 - imports kafka-python

        return Admin(client, settings)


def _passes(error: Exception) -> bool:
    """Whether it is worth asking again: kafka-python says so of topics that are not there too."""
    from transports.kafka.driver import kafka_errors  # noqa: PLC0415 - imports kafka-python

    known = kafka_errors.KafkaError
    missing = kafka_errors.UnknownTopicOrPartitionError
    return isinstance(error, known) and not isinstance(error, missing) and bool(error.retriable)
