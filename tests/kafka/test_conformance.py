"""The Kafka transport against every sentence of the joint, on a real broker, by either driver."""

import pytest

from transports.conformance import TransportConformance
from transports.conformance.packing import PackingConformance
from transports.kafka import open_transport

OPTIONS = "client_id=conformance&max_unacked=1000"


class TestKafka(TransportConformance):
    most_unacked = 1000

    @pytest.fixture
    def factory(self, bootstrap):
        return lambda: open_transport(f"kafka://{bootstrap}?{OPTIONS}&address_timeout=1")


class TestConfluent(TransportConformance):
    most_unacked = 1000

    @pytest.fixture
    def factory(self, bootstrap):
        url = f"kafka://{bootstrap}?client=confluent&{OPTIONS}&address_timeout=1"
        return lambda: open_transport(url)


class TestKafkaWithoutFrames(PackingConformance):
    @pytest.fixture
    def factory(self, bootstrap):
        return lambda: open_transport(f"kafka://{bootstrap}?{OPTIONS}&frames=false")


class TestConfluentWithoutFrames(PackingConformance):
    @pytest.fixture
    def factory(self, bootstrap):
        url = f"kafka://{bootstrap}?client=confluent&{OPTIONS}&frames=false"
        return lambda: open_transport(url)
