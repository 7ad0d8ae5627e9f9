"""What a poll of librdkafka brings: records, and errors among them."""

import pytest
from confluent_kafka import KafkaError

from transports.kafka.clients import UnreadableBatch
from transports.kafka.config import KafkaConfig
from transports.kafka.librdkafka.consume import Consumer

DAMAGED = KafkaError(KafkaError._BAD_MSG, "crc")


class Polled:
    """A message as confluent-kafka gives it, or an error in its place."""

    def __init__(self, partition, offset, error=None):
        self._partition, self._offset, self._error = partition, offset, error

    def error(self):
        return self._error

    def partition(self):
        return self._partition

    def offset(self):
        return self._offset

    def timestamp(self):
        return (2, 1)

    def value(self):
        return b""

    def key(self):
        return None

    def headers(self):
        return None


@pytest.fixture
def poll(monkeypatch):
    """Return what polls return or raise that take these messages, and where was sought."""

    def run(*messages):
        consumer, sought, came = Consumer(KafkaConfig(client="confluent"), "t", {}), [], []
        taken = [list(messages)]
        monkeypatch.setattr(consumer, "_taken", lambda _timeout: taken.pop() if taken else [])
        monkeypatch.setattr(consumer, "_seek", lambda *place: sought.append(place))
        for _ in range(2):
            try:
                polled = consumer.next_records(0)
            except UnreadableBatch as error:
                came.append(str(error))
            else:
                came += [(n, [record.offset for record in records]) for n, records in polled]
        return came, sought

    return run


def test_each_partition_is_read_again_from_its_own_damaged_batch(poll):
    came, sought = poll(Polled(0, 5, DAMAGED), Polled(1, 7, DAMAGED), Polled(1, 8), Polled(0, 6))

    assert came == ["t/0 can't be read at offset 5: crc"]
    assert sought == [(0, 5), (1, 7)]


def test_an_error_that_passes_costs_no_record_though_another_partition_is_damaged(poll):
    passing = KafkaError(KafkaError.LEADER_NOT_AVAILABLE, "soon")
    came, sought = poll(Polled(0, 5, DAMAGED), Polled(1, -1, passing), Polled(1, 8))

    assert came == [(1, [8]), "t/0 can't be read at offset 5: crc"]
    assert sought == [(0, 5)]
