"""confluent-kafka by hand: the same ping-pong on librdkafka."""

from time import perf_counter

from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition

from benchmarks.exchange import COMMIT_EVERY, Exchange

PRODUCER = {
    "acks": "all",
    "linger.ms": 0,
    "queue.buffering.max.messages": 1_000_000,
    "message.max.bytes": 8_388_608,
}
CONSUMER = {
    "enable.auto.commit": False,
    "fetch.wait.max.ms": 500,
    "auto.offset.reset": "latest",
    "fetch.message.max.bytes": 1_048_576,
}
_BATCH = 1000


def arrived(consumer, wait):
    """Return what is there, waiting only for the first: `consume` alone waits for all it may."""
    first = consumer.poll(wait)
    if first is None:
        return ()
    found = [first, *consumer.consume(_BATCH, 0)]
    return [message for message in found if message.error() is None]


def serve(bootstrap, topics, ready):
    """Answer every record with its value, for ever."""
    producer = Producer({"bootstrap.servers": bootstrap, **PRODUCER})
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topics.group, **CONSUMER})
    assigned = []
    consumer.subscribe([topics.requests], on_assign=lambda _, its: assigned.extend(its))
    while not assigned:
        consumer.poll(0.1)
    consumer.poll(0.5)  # the position is resolved: what is sent from now on is read
    ready()
    committed = perf_counter()
    while True:
        for message in arrived(consumer, 1.0):
            producer.produce(topics.replies, message.value(), partition=0)
        producer.poll(0)
        if (now := perf_counter()) - committed > COMMIT_EVERY and consumer.position(assigned):
            committed = now
            consumer.commit(asynchronous=True)


class Client:
    """Keeps a number of records in flight from one thread."""

    def __init__(self, bootstrap, topics):
        self._producer = Producer({"bootstrap.servers": bootstrap, **PRODUCER})
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "unused", **CONSUMER}
        )
        self._consumer.assign([TopicPartition(topics.replies, 0, OFFSET_END)])
        self._topic = topics.requests
        self._consumer.poll(1.0)

    def run(self, _style, in_flight, payload, seconds):
        """Return the latencies, in seconds, of the exchanges ended within `seconds`."""
        exchange = Exchange(payload, perf_counter() + seconds)
        produce, topic = self._producer.produce, self._topic
        for _ in range(in_flight):
            produce(topic, exchange.next(), partition=0)
        while exchange.waiting():
            for message in arrived(self._consumer, 1.0):
                if (following := exchange.ended(message.value())) is not None:
                    produce(topic, following, partition=0)
            self._producer.poll(0)
        return exchange.latencies

    def close(self):
        """Close the consumer and send what is left."""
        self._consumer.close()
        self._producer.flush(1)
