"""Whom a client asks when all of its connections are busy."""

import time
from types import SimpleNamespace

import pytest
from kafka.net.manager import KafkaConnectionManager
from kafka.protocol.metadata import MetadataResponse

from transports.base import Address, Message
from transports.kafka.driver.accumulate import Accumulator
from transports.kafka.driver.client import Client, Manager
from transports.kafka.driver.sender import SteadySender


@pytest.fixture(params=[False, True], ids=["ours", "stock"])
def stock(request, monkeypatch):
    """Whether somebody to ask is found as stock does it."""
    if request.param:
        monkeypatch.setattr(Manager, "least_loaded_node", KafkaConnectionManager.least_loaded_node)
    return request.param


def test_a_producer_whose_connections_are_busy_learns_of_a_topic_which_stock_does_not(
    stock, kit, outcome_of, eventually
):
    known, unknown = kit.topic(), kit.topic()
    transport = kit.transport()
    outcome_of(transport, Address(known, 0), Message(b"warm"))
    producer = transport._sends._producer
    manager = producer._client._manager
    for connection in manager._conns.values():
        connection.pause("busy")

    producer.ask(unknown)
    eventually(lambda: producer.view(unknown) or manager._backoff.get("metadata", (0,))[0] > 3)

    assert (producer.view(unknown) is None) is stock


NOW = time.monotonic()


def connection(*asked, connected=True):
    """A connection that is full, with answers owed since those times."""
    requests = [(n, None, at) for n, at in enumerate(asked)]
    return SimpleNamespace(connected=connected, paused={"full"}, in_flight_requests=requests)


@pytest.fixture
def client():
    made = Client({"bootstrap_servers": ["localhost:1"]})
    yield made
    made.shut()


@pytest.fixture
def manager(client):
    """The client's, which knows brokers 1 to 3, and has no connection yet."""
    made = client._manager
    made.cluster._brokers = {
        number: MetadataResponse.MetadataResponseBroker(number, f"host{number}", 9092, None)
        for number in (1, 2, 3)
    }
    yield made
    made._conns.clear()


def test_of_busy_brokers_the_one_that_owes_the_newest_answer_is_asked_aside(manager):
    frozen, busy = connection(NOW - 5, NOW), connection(NOW - 1)
    manager._conns.update({1: frozen, 2: busy, 3: connection(NOW, connected=False)})

    assert manager.least_loaded_node() == "aside-2"
    assert manager.cluster.broker_metadata("aside-2").host == "host2"


def test_a_broker_that_owes_nothing_but_has_us_wait_goes_before_all_others(manager):
    manager._conns.update({1: connection(NOW), 2: connection(), 3: connection(NOW - 1)})

    assert manager.least_loaded_node() == "aside-2"


def test_who_could_not_be_reached_aside_is_left_in_peace_for_a_while(manager):
    manager._conns.update({n: connection(NOW - n) for n in (1, 2, 3)})
    asked = []
    while (name := manager.least_loaded_node()) is not None:
        asked.append(name)
        manager.update_backoff(name)

    assert asked == ["aside-1", "aside-2", "aside-3"]


def test_who_is_asked_aside_is_given_its_time_though_it_leads_nothing_by_that_name(client, manager):
    closed = []
    for name in (1, "aside-1"):
        manager._conns[name] = connection(NOW - 5)
        manager._conns[name].close = lambda _, name=name: closed.append(name)

    SteadySender(client, client.cluster, Accumulator())._look_at_slow_brokers()

    assert closed == [1]


def test_that_nobody_could_be_asked_is_forgotten_when_somebody_can(manager):
    for name in ("metadata", 1):
        manager.update_backoff(name)
        manager.reset_backoff(name)

    assert manager.connection_delay("metadata") == 0
    assert manager.connection_delay(1) > 0
