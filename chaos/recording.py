"""A transport that writes down what passes it: where requests stand, and what is acknowledged."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence

from msgspec.structs import asdict

from chaos.history import Writer
from transports.base import (
    Address,
    Delivery,
    Message,
    OnSent,
    Receipt,
    Receiver,
    Transport,
)
from transports.errors import TransportError
from transports.forwarding import ForwardingTransport

__all__ = ["RecordingTransport"]

_REMEMBERED = 50_000
_CALL = "kafka_correlationId"
_KIND = "rpc-kind"
_ATTEMPT = "rpc-attempt"


class RecordingTransport(ForwardingTransport):
    """Another transport, with a history of it. Any thread.

    Acknowledged requests are written as `acked`, replies as `replied`.
    """

    def __init__(self, inner: Transport, history: Writer) -> None:
        super().__init__(inner)
        self._history = history
        self._places: OrderedDict[tuple[str, int], Receipt] = OrderedDict()
        self._lock = threading.Lock()

    def place(self, call: str, attempt: int) -> Receipt | None:
        """Return where an attempt of `call` stands; None: not known any more.

        Of what the driver appended twice it is the first that came: by that one it has its turn.
        """
        with self._lock:
            return self._places.get((call, attempt))

    def send(
        self,
        address: Address,
        message: Message,
        on_sent: OnSent,
        /,
        *,
        avoid: Collection[int] = (),
        once: bool = False,
        packed: bool = False,
    ) -> None:
        """See `Transport.send`; a receipt is written down before `on_sent` is told."""
        headers = dict(message.headers)
        event = {b"request": "acked", b"reply": "replied"}.get(headers.get(_KIND, b""))
        call = headers.get(_CALL, b"").hex()

        def told(outcome: Receipt | TransportError) -> None:
            if event is not None and isinstance(outcome, Receipt):
                self._history.write(event, call=call, **asdict(outcome))
            on_sent(outcome)

        super().send(address, message, told, avoid=avoid, once=once, packed=packed)

    def receiver(self, address: Address, *, shared: bool) -> Receiver:
        """See `Transport.receiver`."""
        inner = super().receiver(address, shared=shared)
        return _RecordingReceiver(inner, self._note) if shared else inner

    def _note(self, deliveries: Sequence[Delivery]) -> None:
        with self._lock:
            for delivery in deliveries:
                headers = dict(delivery.message.headers)
                attempt = headers.get(_ATTEMPT, b"1")
                if headers.get(_KIND) == b"request" and _CALL in headers and attempt.isdigit():
                    call = headers[_CALL].hex(), int(attempt)
                    self._places.setdefault(call, delivery.receipt)
            while len(self._places) > _REMEMBERED:
                self._places.popitem(last=False)


class _RecordingReceiver:
    """A shared receiver whose deliveries are noted before they are handed out."""

    def __init__(self, inner: Receiver, note: Callable[[Sequence[Delivery]], None]) -> None:
        self._inner, self._note = inner, note

    @property
    def address(self) -> Address:
        """See `Receiver.address`."""
        return self._inner.address

    def receive(self, max_wait: float) -> Sequence[Delivery]:
        """See `Receiver.receive`."""
        deliveries = self._inner.receive(max_wait)
        self._note(deliveries)
        return deliveries

    def close(self, timeout: float) -> None:
        """See `Receiver.close`."""
        self._inner.close(timeout)
