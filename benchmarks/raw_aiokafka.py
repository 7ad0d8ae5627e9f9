"""aiokafka by hand: the same ping-pong on one event loop per side."""

import asyncio
from time import perf_counter

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.exchange import COMMIT_EVERY, Exchange

PRODUCER = {
    "acks": "all",
    "linger_ms": 0,
    "max_batch_size": 131_072,
    "max_request_size": 8_388_608,
}
CONSUMER = {
    "enable_auto_commit": False,
    "fetch_max_wait_ms": 500,
    "max_partition_fetch_bytes": 1_048_576,
}


def serve(bootstrap, topics, ready):
    """Answer every record with its value, for ever."""
    asyncio.run(_serve(bootstrap, topics, ready))


async def _serve(bootstrap, topics, ready):
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **PRODUCER)
    consumer = AIOKafkaConsumer(
        topics.requests, bootstrap_servers=bootstrap, group_id=topics.group, **CONSUMER
    )
    await producer.start()
    await consumer.start()
    (partition,) = consumer.assignment()
    await consumer.position(partition)
    ready()
    committed = perf_counter()
    while True:
        for records in (await consumer.getmany(timeout_ms=1000)).values():
            for record in records:
                await producer.send(topics.replies, record.value, partition=0)
        if (now := perf_counter()) - committed > COMMIT_EVERY:
            committed = now
            await consumer.commit()


class Client:
    """Keeps a number of records in flight from one event loop."""

    def __init__(self, bootstrap, topics):
        self._runner = asyncio.Runner()
        self._topic = topics.requests
        self._runner.run(self._start(bootstrap, topics.replies))

    async def _start(self, bootstrap, replies):
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, **PRODUCER)
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, **CONSUMER)
        await self._producer.start()
        await self._consumer.start()
        partition = TopicPartition(replies, 0)
        self._consumer.assign([partition])
        await self._consumer.seek_to_end(partition)
        await self._consumer.position(partition)

    def run(self, _style, in_flight, payload, seconds):
        """Return the latencies, in seconds, of the exchanges ended within `seconds`."""
        return self._runner.run(self._run(in_flight, payload, seconds))

    async def _run(self, in_flight, payload, seconds):
        exchange = Exchange(payload, perf_counter() + seconds)
        send, topic = self._producer.send, self._topic
        for _ in range(in_flight):
            await send(topic, exchange.next(), partition=0)
        while exchange.waiting():
            for records in (await self._consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    if (following := exchange.ended(record.value)) is not None:
                        await send(topic, following, partition=0)
        return exchange.latencies

    def close(self):
        """Close both clients and the loop."""
        self._runner.run(self._stop())
        self._runner.close()

    async def _stop(self):
        await self._consumer.stop()
        await self._producer.stop()
