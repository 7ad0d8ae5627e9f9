"""The Kafka transport against the sentences of the joint, on a real broker."""

import pytest

from transports.conformance.custody import GroupConformance
from transports.conformance.inboxes import InboxConformance
from transports.conformance.lifecycle import LifecycleConformance
from transports.conformance.sending import SendingConformance
from transports.conformance.sharing import SharingConformance
from transports.kafka import open_transport


class TestKafka(
    SendingConformance,
    SharingConformance,
    GroupConformance,
    InboxConformance,
    LifecycleConformance,
):
    most_unacked = 1000

    @pytest.fixture
    def factory(self, bootstrap):
        return lambda: open_transport(
            f"kafka://{bootstrap}?client_id=conformance&max_unacked=1000&address_timeout=1"
        )
