"""What stands in topics, as a reader sees it that shares no code with the library."""

import threading

import pytest
from msgspec.structs import replace

from chaos.truth import read_truth
from transports.base import Address, Message
from transports.kafka import KafkaConfig, KafkaTransport
from transports.kafka.frames import pack


def message(kind, call):
    shared = (("rpc-kind", kind), ("rpc-client", b"i1"))
    return Message(b"", (*shared, ("kafka_correlationId", call)))


@pytest.mark.kafka
def test_each_message_of_a_frame_is_read(bootstrap, topic_prefix):
    topic = f"{topic_prefix}.requests"
    sent = [message(b"request", b"\x0a"), message(b"request", b"\x0b"), message(b"cancel", b"\x0c")]
    ((frame, _),) = pack(sent)
    broken = replace(frame, body=frame.body[:-1])
    with KafkaTransport(KafkaConfig(bootstrap=(bootstrap,), partitions=1)) as transport:
        transport.prepare(Address(topic), 20)
        for one in (sent[0], frame, broken):
            told = threading.Event()
            transport.send(Address(topic), one, lambda _, told=told: told.set())
            assert told.wait(20)
    found = [one[1:] for one in read_truth(bootstrap, [topic], {}).records]

    assert found[:4] == [
        (0, 0, "request", "0a", "i1", 0),
        (0, 1, "request", "0a", "i1", 0),
        (0, 1, "request", "0b", "i1", 1),
        (0, 1, "cancel", "0c", "i1", 2),
    ]
    assert found[-1] == (0, 2, "", "", "", 0)
