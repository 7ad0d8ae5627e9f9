"""What a new owner of partitions is offered: committed offsets, notes, and the ends of logs."""

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from transports.kafka.ledger import Offer

__all__ = ["offers_of"]

_LATEST, _EARLIEST = -1, -2


def offers_of(handle: Any, places: Sequence[TopicPartition], timeout: float) -> Mapping[int, Offer]:
    """Return the offer of each partition; asks brokers, each time for at most `timeout` seconds.

    Raises `KafkaException`.
    """
    found = {p.partition: p for p in _sound(handle.committed(places, timeout=timeout))}
    ends = _offsets(handle, places, _LATEST, timeout)
    new = [place for place in places if found[place.partition].offset < 0]
    starts = _offsets(handle, new, _EARLIEST, timeout)
    return {
        n: Offer(None, "", starts[n], ends[n])
        if place.offset < 0
        else Offer(place.offset, _text(place), 0, ends[n])
        for n, place in found.items()
    }


def _offsets(
    handle: Any, places: Sequence[TopicPartition], where: int, timeout: float
) -> Mapping[int, int]:
    if not places:
        return {}
    asked = [TopicPartition(place.topic, place.partition, where) for place in places]
    found = _sound(handle.offsets_for_times(asked, timeout=timeout))
    return {place.partition: place.offset for place in found}


def _sound(places: Sequence[TopicPartition]) -> Sequence[TopicPartition]:
    for place in places:
        if place.error is not None:
            raise KafkaException(place.error)
    return places


def _text(place: TopicPartition) -> str:
    """Return what stands beside an offset.

    librdkafka copies it without its end, so that what is in memory behind it may be shown too.
    """
    try:
        return place.metadata or ""
    except UnicodeDecodeError as error:
        shown: bytes = error.object
        return shown[: error.start].decode()
