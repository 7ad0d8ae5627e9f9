"""Connections that are made in time, or not at all."""

import socket
import time
from types import SimpleNamespace

import pytest
from kafka.errors import KafkaConnectionError
from kafka.net.transport import KafkaSSLTransport
from kafka.protocol.metadata import MetadataRequest

from transports.kafka.driver.client import Client
from transports.kafka.driver.loop import Loop
from transports.kafka.driver.sockets import TlsTransport, open_transport

SETTINGS = {"request_timeout_ms": 300, "socket_connection_setup_timeout_ms": 60_000}


@pytest.fixture
def silent():
    """The address of who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()


def ask(address, protocol):
    """Ask a broker for something; return how that failed within a second and a half."""
    client = Client(
        {"bootstrap_servers": ["{}:{}".format(*address)], "security_protocol": protocol, **SETTINGS}
    )
    (broker,) = client.cluster.bootstrap_brokers()
    request = MetadataRequest(topics=[], allow_auto_topic_creation=False)
    answer, ends = client._manager.send(request, node_id=broker.node_id), time.monotonic() + 1.5
    while not answer.is_done and time.monotonic() < ends:
        client.poll(timeout_ms=100)
    failure = answer.exception
    client.shut()
    return failure


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_who_takes_a_connection_and_says_nothing_is_waited_for_as_long_as_for_an_answer(
    silent, protocol
):
    assert "timed out" in str(ask(silent, protocol))


def test_stock_waits_for_ever_for_a_handshake(silent, monkeypatch):
    monkeypatch.setattr(TlsTransport, "handshake", lambda us, _: KafkaSSLTransport.handshake(us))

    assert ask(silent, "SSL") is None


def test_a_connection_that_is_not_taken_in_time_is_lost_and_the_time_of_who_waits_is_not_over():
    config = {"proxy_url": None, "socket_options": [], "security_protocol": "PLAINTEXT"}
    loop = Loop()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        host, port = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex((host, port))
        node = SimpleNamespace(host=host, port=port)
        with pytest.raises(KafkaConnectionError, match="took no connection in time"):
            loop.run(open_transport, loop, node, config, time.monotonic() + 0.2)
        for one in waiting:
            one.close()
    loop.close()
