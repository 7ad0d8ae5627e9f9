"""What is known of topics: asked for on a thread of its own, since asking librdkafka waits.

Owners: the thread asks; what is known is read by any, and replaced entry by entry with values that
never change. What is to be asked for is guarded by `_asked`.
"""

import re
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer

from transports.kafka.librdkafka.errors import error_of
from transports.kafka.librdkafka.handle import Trouble
from transports.kafka.topic_state import TopicState

__all__ = ["KnownTopics", "Place"]

_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}", re.ASCII)
_WAIT = 1.0
"""How long one question may take before the next is asked."""


class Place(NamedTuple):
    """One topic, as brokers last told it."""

    partitions: tuple[int, ...]
    led: tuple[int, ...]
    leaders: tuple[int, ...]
    """The broker of each partition, -1 where there is none."""


class KnownTopics:
    """Topics that were asked for, and looked at again in a while."""

    def __init__(self, handle: Callable[[], Producer], trouble: Trouble, max_age: float) -> None:
        self._handle = handle
        self._trouble = trouble
        self._max_age = max_age
        self._known: dict[str, Place] = {}
        self._unauthorized: set[str] = set()
        self._listeners: list[Callable[[], None]] = []
        self._asked = threading.Condition()
        self._wanted: set[str] = set()
        self._topics: set[str] = set()
        self._closed = False

    def start(self, name: str) -> threading.Thread:
        """Begin to ask, on a thread of this name."""
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        thread.start()
        return thread

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` on the thread each time that brokers have answered."""
        self._listeners.append(listener)

    def view(self, topic: str) -> Place | None:
        """Return what is known of `topic`: the same object as long as nothing has changed."""
        return self._known.get(topic)

    def state(self, topic: str) -> TopicState:
        """Return what is known of `topic` without asking."""
        known = self._known.get(topic)
        if known is None:
            return TopicState((), (), topic in self._unauthorized)
        return TopicState(known.partitions, known.led or known.partitions)

    def leader(self, topic: str, partition: int) -> int:
        """Return which broker leads a partition, -1 where that is not known."""
        known = self._known.get(topic)
        if known is None or partition >= len(known.leaders):
            return -1
        return known.leaders[partition]

    def ask(self, topic: str) -> None:
        """Look at `topic` now. Raises `ValueError` for what can't be the name of a topic."""
        if not _NAME.fullmatch(topic):
            raise ValueError("a topic has 1 to 249 letters, digits, '.', '_' or '-' in its name")
        with self._asked:
            self._topics.add(topic)
            self._wanted.add(topic)
            self._asked.notify_all()

    def forget(self, topic: str) -> None:
        """Look at `topic` no more."""
        with self._asked:
            self._topics.discard(topic)
            self._wanted.discard(topic)

    def close(self) -> None:
        """Ask nothing more; a question under way ends within a second."""
        with self._asked:
            self._closed = True
            self._asked.notify_all()

    def _run(self) -> None:
        due = time.monotonic() + self._max_age
        while True:
            with self._asked:
                while not (self._wanted or self._closed) and time.monotonic() < due:
                    self._asked.wait(max(0.0, due - time.monotonic()))
                if self._closed:
                    return
                topics, self._wanted = self._wanted, set()
                if time.monotonic() >= due:
                    topics = set(self._topics)
            answers = [self._look(topic) for topic in sorted(topics)]
            if any(answers):
                for listener in self._listeners:
                    listener()
            if time.monotonic() >= due:
                due = time.monotonic() + self._max_age

    def _look(self, topic: str) -> bool:
        """Ask about one topic; tell whether brokers have answered."""
        if self._closed:
            return False
        try:
            found = self._handle().list_topics(topic, timeout=_WAIT).topics[topic]
        except KafkaException as failure:
            if error_of(failure).code() > 0:
                return self._none(topic, error_of(failure).code())
            return False
        except (RuntimeError, KeyError):  # closed under our hands, or answered something else
            return False
        self._trouble.over()
        if found.error is not None:
            return self._none(topic, found.error.code())
        self._unauthorized.discard(topic)
        place = _place(found.partitions)
        if self._known.get(topic) != place and place.partitions:
            self._known[topic] = place
        return True

    def _none(self, topic: str, code: int) -> bool:
        """Take note of an answer that tells of no topic; one that may pass is none."""
        if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            self._unauthorized.add(topic)
        elif code not in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_EXCEPTION}:
            return False
        self._known.pop(topic, None)
        return True


def _place(partitions: Any) -> Place:
    every = tuple(sorted(partitions))
    leaders = tuple(partitions[number].leader for number in every)
    led = tuple(number for number, leader in zip(every, leaders, strict=True) if leader != -1)
    return Place(every, led, leaders)
