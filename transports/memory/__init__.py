"""A transport inside one process, with the guarantees of a broker: for tests, and to try things."""

from transports.memory.transport import MemoryTransport, open_transport

__all__ = ["MemoryTransport", "open_transport"]
