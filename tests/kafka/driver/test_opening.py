"""What can't be built on a client that is connected leaves nothing open, and says why."""

import pytest

from transports.base import Address, Message, Receipt
from transports.errors import ConfigurationError
from transports.kafka import KafkaConfig
from transports.kafka.broker_clock import BrokerClock
from transports.kafka.driver import opening

PLACE = Address("t", 0)


class Connected:
    """A client that has reached a broker."""

    def __init__(self):
        self.shut_times = 0

    def shut(self):
        self.shut_times += 1


def refuse(*_):
    raise ValueError("no such thing")


@pytest.mark.parametrize(
    ("kind", "open_one"),
    [
        ("Producer", lambda config: opening.open_producer(config, BrokerClock(), bool)),
        ("Reader", lambda config: opening.open_reader(config, PLACE)),
        ("Member", lambda config: opening.open_member(config, "t", "g", None, bool)),
    ],
)
def test_settings_that_are_refused_are_told_and_the_client_is_shut(monkeypatch, kind, open_one):
    client = Connected()
    monkeypatch.setattr(opening, "connect", lambda *_, **__: client)
    monkeypatch.setattr(opening, kind, refuse)

    with pytest.raises(ConfigurationError, match=r"refuses its settings: .*no such thing"):
        open_one(KafkaConfig())
    assert client.shut_times == 1


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_what_needs_no_library_is_sent(kit, outcome_of, client, codec):
    transport = kit.transport(client=client, driver={"compression_type": codec})

    assert isinstance(outcome_of(transport, Address(kit.topic(1), 0), Message(b"x")), Receipt)
