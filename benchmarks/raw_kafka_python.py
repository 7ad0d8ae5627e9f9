"""kafka-python by hand: the same ping-pong, with the settings that ours has.

One topic of one partition each way, the call's number in the first bytes of the value, no headers,
one thread on each side that polls and sends: nothing that a call needs and a record does not.
"""

from time import perf_counter

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.exchange import COMMIT_EVERY, Exchange

PRODUCER = {
    "acks": "all",
    "enable_idempotence": False,
    "max_in_flight_requests_per_connection": 1,
    "batch_size": 131_072,
    "max_request_size": 8_388_608,
    "retry_backoff_ms": 20,
    "reconnect_backoff_max_ms": 1000,
    "metrics_enabled": False,
}
CONSUMER = {
    "enable_auto_commit": False,
    "metrics_enabled": False,
    "max_poll_records": 100_000,
    "fetch_max_wait_ms": 500,
    "max_partition_fetch_bytes": 1_048_576,
    "fetch_max_bytes": 8_388_608,
}


def serve(bootstrap, topics, ready):
    """Answer every record with its value, for ever."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, **PRODUCER)
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=topics.group, **CONSUMER)
    consumer.partitions_for_topic(topics.requests)
    consumer.subscribe([topics.requests])
    while not consumer.assignment():
        consumer.poll(1000)
    ready()
    committed = perf_counter()
    while True:
        for records in consumer.poll(1000).values():
            for record in records:
                producer.send(topics.replies, record.value, partition=0)
        if (now := perf_counter()) - committed > COMMIT_EVERY:
            committed = now
            consumer.commit_async()


class Client:
    """Keeps a number of records in flight from one thread."""

    def __init__(self, bootstrap, topics):
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, **PRODUCER)
        self._consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, **CONSUMER)
        partition = TopicPartition(topics.replies, 0)
        self._consumer.assign([partition])
        self._consumer.seek_to_end(partition)
        self._consumer.position(partition)
        self._topic = topics.requests

    def run(self, _style, in_flight, payload, seconds):
        """Return the latencies, in seconds, of the exchanges ended within `seconds`."""
        exchange = Exchange(payload, perf_counter() + seconds)
        send, topic = self._producer.send, self._topic
        for _ in range(in_flight):
            send(topic, exchange.next(), partition=0)
        while exchange.waiting():
            for records in self._consumer.poll(1000).values():
                for record in records:
                    if (following := exchange.ended(record.value)) is not None:
                        send(topic, following, partition=0)
        return exchange.latencies

    def close(self):
        """Close both clients."""
        self._consumer.close()
        self._producer.close(timeout=1)
