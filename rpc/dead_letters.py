"""Requests that nobody can run, kept for people to look at: `<service>.dead`.

The receiving threads hand them over and go on; `rpc-dead-letters`, a thread that is started at the
first need, makes topics and sends. The original is settled once its copy is with the broker, or
where there is no copy: because of a fault, or because there are too many, which is logged.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from rpc.clock import Clock
from rpc.text import scrubbed
from transports.base import Address, Delivery, Headers, Message, Receipt, Transport
from transports.errors import TransportError
from transports.log import get_logger

__all__ = ["DeadLetters", "dead_address", "dead_letter"]

_log = get_logger("rpc.server")
_PREFIX = "rpc-dead-"
_REQUESTS = ".requests"
_MAX_REASON = 500  # bytes
_RATE = 100  # dead letters per second: whoever writes junk does not get twice as much of it
_WAITING = 1000  # not yet sent; beyond, no copy is made
_PREPARE = 10.0  # seconds for the broker to make a topic


def dead_address(topic: str) -> Address:
    """Return where the dead letters of a topic of requests go."""
    return Address(f"{topic.removesuffix(_REQUESTS)}.dead")


def dead_letter(delivery: Delivery, reason: str) -> Message:
    """Return the copy of what was delivered: headers, key and body as they were, and why."""
    message, receipt = delivery.message, delivery.receipt
    told: Headers = (
        ("rpc-dead-reason", scrubbed(reason, _MAX_REASON).encode()),
        ("rpc-dead-topic", receipt.topic.encode()),
        ("rpc-dead-partition", b"%d" % receipt.partition),
        ("rpc-dead-offset", b"%d" % receipt.offset),
        *((("rpc-dead-part", b"%d" % receipt.part),) if receipt.part else ()),
        ("rpc-dead-timestamp", b"%d" % (delivery.timestamp * 1000)),
    )
    kept = tuple(header for header in message.headers if not header[0].startswith(_PREFIX))
    return Message(message.body, (*kept, *told), message.key)


class _Letter(NamedTuple):
    address: Address
    message: Message
    then: Callable[[], object]


class DeadLetters:
    """The dead letters of one server. Any thread; the lock guards the queue and the count."""

    def __init__(
        self, transport: Transport, *, enabled: bool, clock: Clock, threads: bool = True
    ) -> None:
        self._transport = transport
        self._enabled = enabled
        self._clock = clock
        self._threads = threads
        self._changed = threading.Condition()
        self._letters: deque[_Letter] = deque()
        self._thread: threading.Thread | None = None
        self._busy = False
        self._closed = False
        self._second, self._in_second = 0.0, 0
        self._prepared: set[str] = set()
        self.sent = 0
        """Those that the broker has."""
        self.skipped = 0
        """Those that were too many, so that no copy was made."""

    def put(self, delivery: Delivery, reason: str, then: Callable[[], object]) -> None:
        """Copy `delivery` and call `then`, on any thread, once that is done or has failed."""
        if not self._enabled:
            then()
            return
        topic = delivery.receipt.topic
        letter = _Letter(dead_address(topic), dead_letter(delivery, reason), then)
        with self._changed:
            taken = self._admit()
            if taken and self._threads:
                self._letters.append(letter)
                self._start()
                self._changed.notify_all()
        if not taken:
            then()
        elif not self._threads:
            self._send(letter)

    def close(self, timeout: float) -> None:
        """Send what waits, and end the thread, within `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._letters or self._busy), timeout)
            self._closed = True
            self._changed.notify_all()

    def _admit(self) -> bool:
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._in_second = now, 0
        self._in_second += 1
        if self._in_second <= _RATE and len(self._letters) < _WAITING and not self._closed:
            return True
        self.skipped += 1
        if self._in_second == _RATE + 1:  # one line for each second of it
            _log.warning("dead_letters.too_many", skipped=self.skipped, per_second=_RATE)
        return False

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rpc-dead-letters", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._letters or self._closed)
                if not self._letters:
                    return
                letter = self._letters.popleft()
                self._busy = True
            self._send(letter)

    def _send(self, letter: _Letter) -> None:
        topic = letter.address.topic
        try:
            if topic not in self._prepared:
                self._transport.prepare(letter.address, _PREPARE, purpose="dead letters")
                self._prepared.add(topic)
        except TransportError as error:
            self._sent(letter, error)
            return
        self._transport.send(letter.address, letter.message, lambda sent: self._sent(letter, sent))

    def _sent(self, letter: _Letter, sent: Receipt | TransportError) -> None:
        if isinstance(sent, TransportError):
            _log.error("dead_letter.failed", topic=letter.address.topic, error=str(sent))
        else:
            with self._changed:
                self.sent += 1
        letter.then()
