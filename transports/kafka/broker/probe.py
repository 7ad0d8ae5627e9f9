"""Asks a broker which brokers it knows, in the Kafka protocol, on a plaintext listener.

An open port says little: a broker answers there before it is registered. One that names itself in
its metadata is unfenced, so topics can be created on it. `metadata_request` and `known_brokers` are
pure; the layout is that of Metadata version 1 in the Kafka protocol guide.
"""

import socket
import struct

__all__ = ["ask_known_brokers", "known_brokers", "metadata_request"]

_METADATA, _VERSION = 3, 1
_CLIENT = b"rpc-broker-probe"
_NO_CONTROLLER = -1


def metadata_request() -> bytes:
    """Return a framed request for the metadata of no topic."""
    body = struct.pack(">hhih", _METADATA, _VERSION, 0, len(_CLIENT)) + _CLIENT + bytes(4)
    return struct.pack(">i", len(body)) + body


def known_brokers(response: bytes) -> frozenset[int]:
    """Return the ids in an unframed response; none while no controller is known.

    Raises struct.error when the response is shorter than it says.
    """
    (count,) = struct.unpack_from(">i", response, 4)
    at, ids = 8, []
    for _ in range(count):
        (node, host) = struct.unpack_from(">ih", response, at)
        (rack,) = struct.unpack_from(">h", response, at + 6 + host + 4)
        at += 6 + host + 4 + 2 + max(rack, 0)
        ids.append(node)
    (controller,) = struct.unpack_from(">i", response, at)
    return frozenset(ids) if controller != _NO_CONTROLLER else frozenset()


def ask_known_brokers(host: str, port: int, timeout: float) -> frozenset[int]:
    """Return the ids of the brokers that the one at `host` and `port` knows to be unfenced.

    Empty while it does not answer, within `timeout` seconds for each step.
    """
    try:
        with (
            socket.create_connection((host, port), timeout) as connection,
            connection.makefile("rb") as stream,
        ):
            connection.sendall(metadata_request())
            (size,) = struct.unpack(">i", stream.read(4))
            return known_brokers(stream.read(size))
    except (OSError, struct.error):
        return frozenset()
