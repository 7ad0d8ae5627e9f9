"""Ends a broker whose parent has died: a program of its own, on the standard library alone.

    python guard.py BROKER_PID

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
    broker = int(sys.argv[1])
    with suppress(ProcessLookupError):  # the broker ended first
        if hasattr(os, "pidfd_open"):
            _guard_by_pidfd(os.pidfd_open(broker), os.pidfd_open(os.getppid()))
        else:
            sys.stdin.buffer.read()
            os.kill(broker, getattr(signal, "SIGKILL", signal.SIGTERM))


def _guard_by_pidfd(broker: int, parent: int) -> None:
    pipe = sys.stdin.fileno()
    ended, _, _ = select.select([pipe, parent, broker], [], [])
    if broker not in ended:
        signal.pidfd_send_signal(broker, signal.SIGKILL)


if __name__ == "__main__":
    main()
