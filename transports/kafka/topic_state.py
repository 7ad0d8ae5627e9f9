"""What brokers said of a topic, and whether to wait longer for more. Pure."""

from typing import NamedTuple, Protocol

from transports.base import Address
from transports.errors import AddressUnknown, NotAuthorized, TransportError

__all__ = ["TopicState", "Topics", "judge"]


class TopicState(NamedTuple):
    """What the brokers last said about a topic."""

    partitions: tuple[int, ...]
    """All its partitions in order; empty when the topic is not known."""
    led: tuple[int, ...]
    """Those that have a leader, or all where none has."""
    unauthorized: bool = False


class Topics(Protocol):
    """Who can be asked about topics."""

    @property
    def trouble(self) -> BaseException | None: ...
    def state(self, topic: str) -> TopicState: ...
    def ask(self, topic: str) -> None: ...
    def forget(self, topic: str, error: BaseException) -> None: ...


def judge(
    place: Address, state: TopicState, waited: float, patience: float
) -> TransportError | bool:
    """Return whether `place` is known by now, or why nobody should wait longer for it."""
    if state.unauthorized:
        return NotAuthorized(
            f"no right to see topic {place.topic}; allow it: kafka-acls.sh --add "
            f"--allow-principal User:... --operation Describe --operation Write "
            f"--topic {place.topic}"
        )
    if place.partition is None and state.partitions:
        return True
    if place.partition in state.partitions:
        return True
    if waited < patience:
        return False
    if state.partitions:
        return AddressUnknown(
            f"topic {place.topic} has {len(state.partitions)} partitions, and no {place.partition}"
        )
    return AddressUnknown(
        f"topic {place.topic} does not exist; create it, or start what serves it first"
    )
