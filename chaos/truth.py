"""What the topics really hold, read by another client than ours: librdkafka's.

    truth = read_truth("localhost:9092", [*requests, *replies, *dead_letters], groups)

Everything is read from the oldest record to the end as it stood when reading began.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

__all__ = ["Record", "Truth", "all_topics", "load_truth", "read_truth", "save_truth"]

_TIMEOUT = 30.0
_POLL = 0.2


class Record(NamedTuple):
    """One message, as far as the checker looks at it."""

    topic: str
    partition: int
    offset: int
    kind: str
    """`request`, `reply`, `cancel`, as its header says; empty where it says nothing."""
    call: str
    """The call id in hexadecimal; empty where there is none."""
    client: str
    """The client instance that asked, or that is answered."""
    part: int = 0
    """Which message of its record it is, where several share one."""


class Truth(NamedTuple):
    """The records of all topics read, and how far the groups have committed."""

    records: list[Record]
    committed: dict[tuple[str, int], int]
    """By topic and partition."""


def read_truth(
    bootstrap: str, topics: Iterable[str], groups: Mapping[str, str], timeout: float = _TIMEOUT
) -> Truth:
    """Read `topics` from the start, and what each of `groups` (topic to group) has committed.

    Raises `TimeoutError` where the end of a partition is not reached within `timeout` seconds of
    silence.
    """
    settings = {
        "bootstrap.servers": bootstrap,
        "group.id": "chaos-truth",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": False,
        "isolation.level": "read_uncommitted",
    }
    consumer = Consumer(settings)
    try:
        records = list(_read(consumer, topics, timeout))
    finally:
        consumer.close()
    return Truth(records, _committed(bootstrap, groups, timeout))


def all_topics(bootstrap: str, timeout: float = _TIMEOUT) -> list[str]:
    """Return the names of every topic that is not the broker's own."""
    names = AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=timeout).topics
    return sorted(name for name in names if not name.startswith("__"))


def _read(consumer: Consumer, topics: Iterable[str], timeout: float) -> Iterator[Record]:
    ends = {}
    starts = []
    for topic in topics:
        for partition in consumer.list_topics(topic, timeout).topics[topic].partitions:
            place = TopicPartition(topic, partition)
            low, high = consumer.get_watermark_offsets(place, timeout)
            if low < high:
                ends[topic, partition] = high
                starts.append(TopicPartition(topic, partition, low))
    consumer.assign(starts)  # not before all ends are known: they would wait behind each fetch
    heard = time.monotonic()
    while ends:
        batch = consumer.consume(10_000, _POLL)  # waits for as many, or for the time to pass
        if batch:
            heard = time.monotonic()
        elif time.monotonic() > heard + timeout:
            raise TimeoutError(f"nothing came for {timeout} s before {ends}")
        for message in batch:
            if message.error():
                raise RuntimeError(f"{message.topic()}: {message.error()}")
            yield from _messages(message)
        for place in consumer.position([TopicPartition(*place) for place in ends]):
            if place.offset >= ends[place.topic, place.partition]:  # also past what is no message
                del ends[place.topic, place.partition]


def _messages(message) -> Iterator[Record]:
    """Yield what stands in one record: a message, or all of a frame as docs/wire.md has it."""
    headers = message.headers() or []
    if not headers or headers[0][0] != "rpc-frame":
        yield _record(message, headers, 0)
        return
    try:
        packed = msgspec.msgpack.decode(message.value())
        shared: list = []
        for part, (same, own, _key, _body) in enumerate(packed):
            shared = shared[:same] + own
            yield _record(message, shared, part)
    except (msgspec.MsgspecError, TypeError, ValueError):
        yield _record(message, [], 0)  # it is one of the records that are no requests


def _record(message, pairs: Iterable, part: int) -> Record:
    headers = {name: value or b"" for name, value in pairs}
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        headers.get("rpc-kind", b"").decode("ascii", "replace"),
        headers.get("kafka_correlationId", b"").hex(),
        headers.get("rpc-client", b"").decode("utf-8", "replace"),
        part,
    )


def _committed(
    bootstrap: str, groups: Mapping[str, str], timeout: float
) -> dict[tuple[str, int], int]:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    committed: dict[tuple[str, int], int] = {}
    for topic, group in groups.items():
        asked = [ConsumerGroupTopicPartitions(group)]
        for future in admin.list_consumer_group_offsets(asked, request_timeout=timeout).values():
            for place in future.result().topic_partitions:
                if place.topic == topic and place.offset >= 0:
                    committed[place.topic, place.partition] = place.offset
    return committed


def save_truth(truth: Truth, path: Path) -> None:
    """Write `truth` into the folder of its run, so that it can be checked again."""
    with path.open("w", encoding="utf-8") as file:
        for (topic, partition), offset in truth.committed.items():
            file.write(json.dumps(["committed", topic, partition, offset]) + "\n")
        for record in truth.records:
            file.write(json.dumps(["record", *record]) + "\n")


def load_truth(path: Path) -> Truth:
    """Read what `save_truth` wrote."""
    truth = Truth([], {})
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            kind, *fields = json.loads(line)
            if kind == "committed":
                topic, partition, offset = fields
                truth.committed[topic, partition] = offset
            else:
                truth.records.append(Record(*fields))
    return truth
