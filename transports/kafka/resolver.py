"""Finding out about topics, on a thread of its own, so that no send waits for the network.

Messages to an address that is not known wait here, in order, and go on when it is; where it does
not turn up they fail, and for a moment so do further ones, at once.

Owners: everything is guarded by `_lock`, except the producer, which the thread opens.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import NamedTuple

from transports.base import Address, Message, OnSent
from transports.errors import (
    AddressUnknown,
    NotAuthorized,
    TransportClosed,
    TransportError,
    Unreachable,
)
from transports.kafka.drivers import open_failure
from transports.kafka.topic_state import Topics, judge
from transports.log import get_logger
from transports.outcome import tell

__all__ = ["Resolver", "Waiting"]

_log = get_logger(__name__)
_LOOK_AGAIN = 0.1
_REFUSED_FOR = 2.0
_MOST_WAITING, _MOST_PLACES, _MOST_REFUSED = 10_000, 200, 1_000
_ANSWERS = 2
"""The first answer after a question may be one to an earlier question, that was under way."""
_GRACE = 0.3
"""What the thread gets to end in, when the time for closing was used up by waiting."""


class Waiting(NamedTuple):
    """One message that waits."""

    address: Address
    message: Message
    on_sent: OnSent
    avoid: Collection[int] = ()
    once: bool = False
    packed: bool = False


class _Queue(NamedTuple):
    """What waits for one address, and from when on."""

    since: float
    believed_at: int
    """How many answers there must have been before one that knows nothing of it is believed."""
    waiting: deque[Waiting]


class Resolver:
    """Holds back messages until their addresses are known."""

    def __init__(
        self,
        name: str,
        *,
        patience: float,
        give_up: float,
        open_topics: Callable[[], Topics],
        go_on: Callable[[Waiting], None],
        lost: Callable[[], Collection[str]],
    ) -> None:
        """`go_on` sends what waited; `lost` names topics that were known and are no more."""
        self._name = name
        self._patience = patience
        self._give_up = give_up
        self._open_topics = open_topics
        self._go_on = go_on
        self._lost = lost
        self._lock = threading.Lock()
        self._emptied = threading.Condition(self._lock)
        self._stirred = threading.Event()
        self._closed: str | None = None
        self._queues: dict[Address, _Queue] = {}
        self._refused: dict[Address, tuple[TransportError, float]] = {}
        self._parked = 0
        self._answers = 0
        self._thread: threading.Thread | None = None
        self.engaged = False
        """Whether anything waits; read without the lock, before asking `wait_behind`."""

    @property
    def closed(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return self._closed is not None

    def wait_behind(self, waiting: Waiting) -> bool:
        """Queue a message behind earlier ones to its address, if there are any that wait."""
        with self._lock:
            for place in (Address(waiting.address.topic), waiting.address):
                if place in self._queues and self._closed is None:
                    self._queues[place].waiting.append(waiting)
                    self._parked += 1
                    return True
        return False

    def park(self, waiting: Waiting, *, whole_topic: bool) -> None:
        """Let a message wait for its address, or fail it at once where that was just in vain.

        `whole_topic`: nothing is known of the topic; otherwise its partition is what is not known.
        """
        error = self._enqueue(waiting, whole_topic=whole_topic)
        if error is not None:
            tell(waiting.on_sent, error)
        self._stirred.set()

    def answered(self) -> None:
        """Look again: the brokers have answered. Any thread."""
        self._answers += 1
        self._stirred.set()

    def forgive(self, topic: str) -> None:
        """Look for `topic` anew at the next message, though it was not there a moment ago."""
        with self._lock:
            for address in [a for a in self._refused if a.topic == topic]:
                del self._refused[address]

    def close(self, reason: str, timeout: float) -> None:
        """Give what waits `timeout` seconds to go on, fail the rest, and end the thread."""
        deadline = time.monotonic() + timeout
        with self._lock:
            if threading.current_thread() is not self._thread:
                self._emptied.wait_for(lambda: not self._queues, timeout)
            self._closed = self._closed or reason
            thread = self._thread
        self._stirred.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(_GRACE, deadline - time.monotonic()))
        self._fail(list(self._queues), TransportClosed(f"not sent: {reason}"))

    def _enqueue(self, waiting: Waiting, *, whole_topic: bool) -> TransportError | None:
        now = time.monotonic()
        place = Address(waiting.address.topic) if whole_topic else waiting.address
        with self._lock:
            if self._closed is not None:
                return TransportClosed(self._closed)
            if self._parked >= _MOST_WAITING or len(self._queues) >= _MOST_PLACES:
                return Unreachable(
                    f"{self._parked} messages wait already for {len(self._queues)} unknown topics"
                )
            error, until = self._refused.get(place, (None, 0.0))
            if error is not None and now < until:
                return type(error)(*error.args)
            self._refused.pop(place, None)
            queue = self._queues.setdefault(place, self._new_queue(now))
            queue.waiting.append(waiting)
            self._parked += 1
            self.engaged = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        return None

    def _run(self) -> None:
        topics: Topics | None = None
        while self._closed is None:
            self._stirred.wait(_LOOK_AGAIN if self._queues else None)
            self._stirred.clear()
            if topics is None:
                if not self._queues:
                    continue
                try:
                    topics = self._open_topics()
                except Exception as error:
                    if self.closed:
                        return
                    failure = open_failure(error)
                    _log.warning("kafka.connect_failed", why=str(failure))
                    self._fail(list(self._queues), failure)
                    continue
            if self._closed is None:
                self._look_safely(topics)

    def _look_safely(self, topics: Topics) -> None:
        """Look; where that fails for a reason nobody thought of, fail who waits and live on."""
        try:
            self._look(topics)
        except Exception as error:
            _log.exception("kafka.look_failed")
            self._fail(list(self._queues), Unreachable(f"topics can't be looked up: {error!r}"))

    def _look(self, topics: Topics) -> None:
        now = time.monotonic()
        with self._lock:
            for topic in self._lost():
                self._queues.setdefault(Address(topic), self._new_queue(now))
                self.engaged = True
            queues = list(self._queues.items())
        for place, queue in queues:
            self._look_for(place, queue, topics)

    def _new_queue(self, now: float) -> "_Queue":
        return _Queue(now, self._answers + _ANSWERS, deque())

    def _look_for(self, place: Address, queue: "_Queue", topics: Topics) -> None:
        waited = time.monotonic() - queue.since
        verdict = judge(place, topics.state(place.topic), waited, self._patience)
        if isinstance(verdict, AddressUnknown) and self._answers < queue.believed_at:
            verdict = waited >= self._give_up and Unreachable(
                f"no broker answers about topic {place.topic}: {topics.trouble or 'no cause told'}"
            )
        if isinstance(verdict, TransportError):
            if place.partition is None:
                topics.forget(place.topic, verdict)
            self._fail([place], verdict)
        elif verdict:
            self._release(place)
        else:
            self._ask(place, topics)

    def _ask(self, place: Address, topics: Topics) -> None:
        try:
            topics.ask(place.topic)
        except (ValueError, TypeError) as error:
            self._fail([place], AddressUnknown(f"{place.topic!r} can't be a topic: {error}"))

    def _release(self, place: Address) -> None:
        """Send what waited for `place`; whoever comes meanwhile queues behind."""
        while True:
            with self._lock:
                queue = self._queues.get(place)
                ready = [] if queue is None else list(queue.waiting)
                if queue is not None:
                    queue.waiting.clear()
                self._parked -= len(ready)
                if not ready:
                    self._queues.pop(place, None)
                    self._note_left()
                    return
            for waiting in ready:
                try:
                    self._go_on(waiting)
                except Exception:  # perhaps it has been told: those behind it have not
                    _log.exception("kafka.go_on_failed", topic=place.topic)

    def _note_left(self) -> None:
        """Note whether anything is left that waits. Under the lock."""
        self.engaged = bool(self._queues)
        if not self._queues:
            self._emptied.notify_all()

    def _fail(self, places: Collection[Address], error: TransportError) -> None:
        failed: list[Waiting] = []
        with self._lock:
            for place in places:
                queue = self._queues.pop(place, None)
                failed.extend(() if queue is None else queue.waiting)
                if isinstance(error, AddressUnknown | NotAuthorized):
                    if len(self._refused) >= _MOST_REFUSED:
                        self._refused.clear()
                    self._refused[place] = (error, time.monotonic() + _REFUSED_FOR)
            self._parked -= len(failed)
            self._note_left()
        for waiting in failed:
            tell(waiting.on_sent, type(error)(*error.args))
