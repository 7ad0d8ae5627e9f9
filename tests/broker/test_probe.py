import socket
import struct
import threading

import pytest

from transports.kafka.broker.ports import free_ports
from transports.kafka.broker.probe import ask_known_brokers, known_brokers, metadata_request


def a_broker(node: int, rack: bytes | None = None) -> bytes:
    told = struct.pack(">ih9si", node, 9, b"127.0.0.1", 9092)
    return told + (struct.pack(">h", -1) if rack is None else struct.pack(">h", len(rack)) + rack)


def a_response(brokers: list[bytes], controller: int) -> bytes:
    return (
        struct.pack(">ii", 0, len(brokers)) + b"".join(brokers) + struct.pack(">ii", controller, 0)
    )


def test_the_request_is_metadata_version_1_of_no_topic():
    assert metadata_request() == bytes.fromhex(
        "0000001e 0003 0001 00000000 0010 7270632d62726f6b65722d70726f6265 00000000"
    )


@pytest.mark.parametrize(
    ("response", "known"),
    [
        (a_response([a_broker(1)], controller=1), {1}),
        (a_response([a_broker(1), a_broker(7, b"rack"), a_broker(3)], controller=7), {1, 3, 7}),
        (a_response([], controller=1), set()),
        (a_response([a_broker(1)], controller=-1), set()),
    ],
    ids=["one", "three", "fenced", "no controller"],
)
def test_brokers_are_known_once_there_is_a_controller(response, known):
    assert known_brokers(response) == known


@pytest.mark.parametrize("length", range(len(a_response([a_broker(1, b"r")], 1)) - 4))
def test_a_response_that_is_cut_is_refused(length):
    with pytest.raises(struct.error):
        known_brokers(a_response([a_broker(1, b"r")], controller=1)[:length])


def test_where_nobody_listens_no_broker_is_known():
    (port,) = free_ports(1)

    assert ask_known_brokers("127.0.0.1", port, timeout=1.0) == set()


@pytest.mark.parametrize(
    "said", [b"", b"\0\0", b"\0\0\0\x08HTTP/1.1"], ids=["nothing", "cut", "other"]
)
def test_what_is_no_broker_is_not_taken_for_one(said):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        known = ask_known_brokers(*server.getsockname(), timeout=1.0)
        thread.join()

    assert known == set()


def test_a_real_broker_names_itself(bootstrap):
    host, _, port = bootstrap.partition(":")

    assert ask_known_brokers(host, int(port), timeout=5.0)
