"""A transport around another: what every one that changes or watches something would have alike."""

from collections.abc import Collection

from transports.base import Address, GroupState, Message, OnSent, Purpose, Receiver, Transport

__all__ = ["ForwardingTransport"]


class ForwardingTransport(Transport):
    """Does what the transport that it is given does; subclasses do part of it otherwise.

    As safe for threads as that one is, and owns it: closing closes it.
    """

    def __init__(self, inner: Transport) -> None:
        self._inner = inner

    @property
    def client_id(self) -> str:
        """The inner transport's."""
        return self._inner.client_id

    @property
    def frames(self) -> bool:
        """The inner transport's."""
        return self._inner.frames

    @property
    def worth_a_request(self) -> int:
        """The inner transport's."""
        return self._inner.worth_a_request

    def now(self) -> float | None:
        """As the inner transport does."""
        return self._inner.now()

    def group(self, topic: str, timeout: float) -> GroupState:
        """As the inner transport does."""
        return self._inner.group(topic, timeout)

    def prepare(self, address: Address, timeout: float, *, purpose: Purpose = "requests") -> None:
        """As the inner transport does."""
        self._inner.prepare(address, timeout, purpose=purpose)

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
        """As the inner transport does."""
        self._inner.send(address, message, on_sent, avoid=avoid, once=once, packed=packed)

    def receiver(self, address: Address, *, shared: bool) -> Receiver:
        """As the inner transport does."""
        return self._inner.receiver(address, shared=shared)

    def close(self, timeout: float) -> None:
        """As the inner transport does."""
        self._inner.close(timeout)
