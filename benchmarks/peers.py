"""The raw driver: the same ping-pong written by hand on kafka-python, with the same settings.

One topic of one partition each way, the call's number in the first bytes of the value, no headers,
one thread on each side that sends and polls: nothing that a call needs and a record does not.
"""

import time
from collections.abc import Callable

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError

REQUESTS, REPLIES = "bench.raw.requests", "bench.raw.replies"
PRODUCER = {
    "acks": "all",
    "enable_idempotence": False,
    "max_in_flight_requests_per_connection": 1,
    "retry_backoff_ms": 20,
    "reconnect_backoff_max_ms": 1000,
    "metrics_enabled": False,
}
CONSUMER = {
    "enable_auto_commit": False,
    "metrics_enabled": False,
    "max_poll_records": 100_000,
    "fetch_max_wait_ms": 500,
}


def prepare(bootstrap: str) -> None:
    """Make the two topics."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    for name in (REQUESTS, REPLIES):
        try:
            admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
        except TopicAlreadyExistsError:
            continue
    admin.close()


def serve(bootstrap: str, ready: Callable[[], None]) -> None:
    """Answer every record with its value, for ever."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, **PRODUCER)
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id="bench.raw", **CONSUMER)
    consumer.partitions_for_topic(REQUESTS)
    consumer.subscribe([REQUESTS])
    while not consumer.assignment():
        consumer.poll(1000)
    ready()
    while True:
        for records in consumer.poll(1000).values():
            for record in records:
                producer.send(REPLIES, record.value, partition=0)
            consumer.commit_async()


class RawClient:
    """Keeps a number of records in flight from one thread."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, **PRODUCER)
        self._consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, **CONSUMER)
        partition = TopicPartition(REPLIES, 0)
        self._consumer.assign([partition])
        self._consumer.seek_to_end(partition)
        self._consumer.position(partition)
        self._next = 0

    def run(self, in_flight: int, payload: int, seconds: float) -> list[float]:
        """Return the latencies, in seconds, of the exchanges ended within `seconds`."""
        body = b"x" * payload
        started: dict[bytes, float] = {}
        latencies: list[float] = []
        ends = time.perf_counter() + seconds
        for _ in range(in_flight):
            self._send(started, body)
        while started:
            for records in self._consumer.poll(1000).values():
                for record in records:
                    begun = started.pop(record.value[:8], None)
                    if begun is None:
                        continue
                    now = time.perf_counter()
                    if now < ends:
                        latencies.append(now - begun)
                        self._send(started, body)
        return latencies

    def _send(self, started: dict[bytes, float], body: bytes) -> None:
        number = self._next.to_bytes(8, "big")
        self._next += 1
        started[number] = time.perf_counter()
        self._producer.send(REQUESTS, number + body, partition=0)
