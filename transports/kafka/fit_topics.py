"""Topics that were found fit a moment ago, so that many who open at once look once.

Owner: `_lock` guards what is remembered, and is not held while brokers are asked.
"""

import threading
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from transports.kafka.config import KafkaConfig

__all__ = ["FitTopics", "TopicPurpose"]

TopicPurpose = Literal["request", "reply", "dead letter"]
_FRESH = 0.5
"""For how many seconds a look counts, which takes a connection of its own: two hundred clients that
open in half a minute look fifty times."""


class _Key(NamedTuple):
    topic: str
    purpose: TopicPurpose
    right: Literal["READ", "WRITE"]


class FitTopics:
    """The topics of one transport. Any thread."""

    def __init__(self, config: KafkaConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[_Key, tuple[float, int]] = {}

    def partitions(
        self,
        topic: str,
        purpose: TopicPurpose,
        right: Literal["READ", "WRITE"],
        timeout: float,
    ) -> int:
        """Return how many partitions a topic has, which is made where it is missing.

        See `ensure_topic`, also for what is raised.
        """
        from transports.kafka.topics import ensure_topic  # noqa: PLC0415 - imports kafka-python

        key, now = _Key(topic, purpose, right), self._clock()
        with self._lock:
            self._seen = {one: seen for one, seen in self._seen.items() if seen[0] > now - _FRESH}
            seen = self._seen.get(key)
        if seen is not None:
            return seen[1]
        found = ensure_topic(self._config, topic, purpose, right, timeout)
        with self._lock:
            self._seen[key] = self._clock(), found
        return found
