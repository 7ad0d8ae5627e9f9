"""Use after a fork: the threads and the connections are the parent's, so it is refused."""

import os

from transports.errors import TransportClosed

__all__ = ["AFTER_FORK", "check_not_forked"]

AFTER_FORK = "this transport was opened before a fork; open another one in the child"


def check_not_forked(pid: int) -> None:
    """Raise `TransportClosed` in any process but the one that has this `pid`."""
    if os.getpid() != pid:
        raise TransportClosed(AFTER_FORK)
