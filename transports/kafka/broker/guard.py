"""Ends a broker whose parent has died: a program of its own, on the standard library alone.

    python guard.py PARENT_PID BROKER_PID

Its standard input is a pipe that the parent holds open and never writes to. When that ends, the
parent is gone, by whatever cause, and the broker is killed. Where the system has pidfds the parent
is watched through one too, since a child that it forked may have inherited the pipe, and the broker
is signalled through one, so that a process that took over its id is not hit.
"""

import os
import select
import signal
import sys
from contextlib import suppress

__all__ = ["main"]


def main() -> None:
    """Wait until the parent or the broker is gone; in the first case kill the broker."""
    parent, broker = map(int, sys.argv[1:])
    with suppress(ProcessLookupError):  # the broker ended first
        if hasattr(os, "pidfd_open"):
            _guard_by_pidfd(parent, os.pidfd_open(broker))
        else:
            sys.stdin.buffer.read()
            os.kill(broker, getattr(signal, "SIGKILL", signal.SIGTERM))


def _guard_by_pidfd(parent: int, broker: int) -> None:
    with suppress(ProcessLookupError):
        watched = os.pidfd_open(parent)
        if os.getppid() == parent:  # else it died before it could be watched
            ended, _, _ = select.select([sys.stdin.fileno(), watched, broker], [], [])
            if broker in ended:
                return
    signal.pidfd_send_signal(broker, signal.SIGKILL)


if __name__ == "__main__":
    main()
