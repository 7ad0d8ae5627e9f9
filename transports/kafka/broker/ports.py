"""Ports for brokers that may be stopped and started again on them."""

import random
import socket
from itertools import islice

from transports.kafka.broker.errors import BrokerError
from transports.kafka.broker.properties import HOST

__all__ = ["free_ports", "is_free"]

# Below the ranges that systems take ports for outgoing connections from (32768 on Linux, 49152
# elsewhere): there, a client that keeps asking for a stopped broker can come to connect to itself,
# and holds the port when the broker wants it back.
_FIRST, _LAST = 20_000, 32_000
_ATTEMPTS = 1_000


def free_ports(count: int) -> tuple[int, ...]:
    """Return `count` different ports that nobody listens on now; raises BrokerError."""
    drawn = random.SystemRandom().sample(range(_FIRST, _LAST), _ATTEMPTS)
    ports = tuple(islice(filter(is_free, drawn), count))
    if len(ports) < count:
        raise BrokerError(f"Fewer than {count} free ports on {HOST}: stop what uses them")
    return ports


def is_free(port: int) -> bool:
    """Tell whether a server could listen on `port` of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
