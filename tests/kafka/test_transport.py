"""The transport as a whole: cheap to import and to make, one life, receivers that end with it."""

import gc
import subprocess
import sys
import threading

import pytest

from transports.base import Address
from transports.errors import TransportClosed
from transports.kafka import KafkaConfig, KafkaTransport


def test_importing_it_imports_no_kafka_python():
    program = (
        "import sys, transports.kafka as t; t.open_transport('kafka://a:1').close(1);"
        "print(sorted(m for m in sys.modules if m.split('.')[0] == 'kafka'))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)  # noqa: PLW1510 - the output tells

    assert ran.stdout == "[]\n", ran.stderr


def test_a_closed_transport_opens_and_prepares_nothing():
    transport = KafkaTransport(KafkaConfig())
    transport.close(1)

    for shared in (True, False):
        with pytest.raises(TransportClosed):
            transport.receiver(Address("t"), shared=shared)
    with pytest.raises(TransportClosed):
        transport.prepare(Address("t"), 1)


def test_closing_closes_receivers_that_nobody_remembers(kit):
    transport, topic = kit.transport(client_id="forgetful"), kit.topic(1)
    for shared in (True, False):
        transport.receiver(Address(topic), shared=shared)
    gc.collect()
    open_ = [t.name for t in threading.enumerate() if "forgetful" in t.name]
    transport.close(5)

    assert len(open_) == 1
    assert not [t.name for t in threading.enumerate() if "forgetful" in t.name]


def test_receivers_that_were_closed_are_forgotten(kit):
    transport, topic = kit.transport(), kit.topic(1)
    for _ in range(3):
        transport.receiver(Address(topic), shared=False).close(1)

    assert len(transport._receivers) == 1


def test_leaving_a_with_block_closes(kit):
    with kit.transport() as transport:
        receiver = transport.receiver(Address(kit.topic(1)), shared=True)
    with pytest.raises(TransportClosed):
        transport.receiver(Address("t"), shared=True)

    assert receiver.receive(1) == ()
