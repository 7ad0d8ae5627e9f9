"""What goes wrong before a broker runs, told to whoever started it."""

__all__ = ["BrokerError"]


class BrokerError(Exception):
    """A broker could not be prepared, started or kept; the message says why and what to do."""
