"""A transport without a broker: what a call costs when carrying it costs nothing.

Messages are answered by hand: the measuring thread says when what was sent is acknowledged and what
arrives. So each side's own work is done in one piece, on its own threads, and can be counted.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence

from transports.base import Address, Delivery, GroupState, Message, Receipt, Transport, Unshared

CALL_ID = "kafka_correlationId"
_RECEIPT = Receipt("null", 0, 0)
_UNSHARED = Unshared()


class Held:
    """The custody of what a null receiver hands out: nobody else wants it."""

    def ack(self, _delivery):
        """Settle it."""
        return True

    def begin(self, _delivery):
        """Note nothing."""

    def commit(self, _delivery, then):
        """Tell at once that it is durable."""
        then(True)  # noqa: FBT003 - what `commit` tells

    def owned(self, _delivery):
        """Tell that it is ours."""
        return True

    def lost(self, _delivery):
        """Tell that it is not lost."""
        return False

    def give_back(self, _delivery):
        """Tell that it stays."""
        return False


class NullReceiver:
    """Hands out what `put` gave it, all of it at once."""

    def __init__(self, address):
        self.address = address
        self._ready = deque()
        self._gate = threading.Semaphore(0)

    def put(self, deliveries: Sequence[Delivery]):
        """Let the next `receive` return these."""
        self._ready.append(deliveries)
        self._gate.release()

    def receive(self, max_wait):
        """Return what was put, waiting for it."""
        if self._gate.acquire(timeout=max(0.0, max_wait)):
            return self._ready.popleft()
        return ()

    def close(self, _timeout):
        """End a `receive` that waits."""
        self.put(())


class NullTransport(Transport):
    """Keeps what is sent until the measuring thread acknowledges it."""

    client_id = "null"
    frames = False

    def __init__(self):
        self.sent: deque[tuple[Message, object]] = deque()
        self.receivers: dict[str, NullReceiver] = {}
        self.awaited = float("inf")
        """After how many unacknowledged messages `reached` is set."""
        self.reached = threading.Event()

    def now(self):
        """Return the time, as if the broker had told it."""
        return time.time()

    def group(self, _topic, _timeout):
        """Return that somebody serves."""
        return GroupState(1, {})

    def prepare(self, address, timeout, *, purpose="requests"):
        """Need nothing."""

    def send(self, _address, message, on_sent, /, **_options):
        """Keep the message; `acknowledge` says that it is there."""
        self.sent.append((message, on_sent))
        if len(self.sent) >= self.awaited:
            self.reached.set()

    def receiver(self, address, *, shared):
        """Return a receiver that is fed by hand."""
        at = address if shared else Address(address.topic, 0)
        opened = self.receivers["requests" if shared else "replies"] = NullReceiver(at)
        return opened

    def acknowledge(self):
        """Tell of everything that was sent that it is there; return the messages."""
        taken = []
        while self.sent:
            message, on_sent = self.sent.popleft()
            on_sent(_RECEIPT)
            taken.append(message)
        return taken

    def close(self, _timeout):
        """Hold nothing."""


class Template:
    """A message of which only the call's id differs from call to call."""

    def __init__(self, message: Message):
        names = [name for name, _ in message.headers]
        at = names.index(CALL_ID)
        self._body, self._key = message.body, message.key
        self._before, self._after = message.headers[:at], message.headers[at + 1 :]

    def delivery(self, call_id: bytes, custody=_UNSHARED) -> Delivery:
        """Return it as it arrives, for the call `call_id`."""
        headers = (*self._before, (CALL_ID, call_id), *self._after)
        return Delivery(Message(self._body, headers, self._key), _RECEIPT, time.time(), custody)


def call_id(message: Message) -> bytes:
    """Return which call a message is of."""
    for name, value in message.headers:
        if name == CALL_ID:
            return value
    raise LookupError(CALL_ID)
