"""The Kafka transport against every sentence of the joint, on a real broker."""

import pytest

from transports.conformance import TransportConformance
from transports.conformance.packing import PackingConformance
from transports.kafka import open_transport


class TestKafka(TransportConformance):
    most_unacked = 1000

    @pytest.fixture
    def factory(self, bootstrap):
        return lambda: open_transport(
            f"kafka://{bootstrap}?client_id=conformance&max_unacked=1000&address_timeout=1"
        )


class TestKafkaWithoutFrames(PackingConformance):
    @pytest.fixture
    def factory(self, bootstrap):
        url = f"kafka://{bootstrap}?client_id=conformance&max_unacked=1000&frames=false"
        return lambda: open_transport(url)
