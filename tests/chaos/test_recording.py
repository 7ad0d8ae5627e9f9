"""What is noted of the requests that a server is given."""

import pytest

from chaos.history import Writer
from chaos.recording import RecordingTransport
from transports.base import Address, Message
from transports.memory import MemoryTransport

TOPIC = "chaos.requests"
CALL = b"\x01" * 16


@pytest.fixture
def transport(tmp_path):
    with RecordingTransport(MemoryTransport(), Writer(tmp_path, "server", 0)) as made:
        yield made


def request(*headers, kind=b"request"):
    return Message(b"{}", (("kafka_correlationId", CALL), ("rpc-kind", kind), *headers))


def test_the_place_of_a_request_is_where_an_attempt_stands_first(transport):
    receiver = transport.receiver(Address(TOPIC), shared=True)
    told = []
    given_up = request(kind=b"cancel")
    for message in (given_up, request(), request(), request(("rpc-attempt", b"2"))):
        transport.send(Address(TOPIC), message, told.append)
    came = 0
    while came < len(told):
        came += len(receiver.receive(10))

    first, second = transport.place(CALL.hex(), 1), transport.place(CALL.hex(), 2)
    assert (first, second) == (told[1], told[3])
    assert transport.place(CALL.hex(), 3) is None
