"""A child process that does not outlive this one, even when this one is killed.

Each has a guard beside it (`guard.py`), which ends it when this process is gone. Both run in
sessions of their own, so that Ctrl-C reaches this process alone and it decides what follows.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from transports.kafka.broker import guard

__all__ = ["GuardedProcess"]


class GuardedProcess:
    """Run `command` in `folder` with its output appended to `log`. One thread at a time.

    Raises OSError when it cannot be started.
    """

    def __init__(self, command: Sequence[str | Path], folder: Path, log: Path) -> None:
        with log.open("ab") as output:
            self._child = subprocess.Popen(  # noqa: S603 - our own arguments
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            pids = str(os.getpid()), str(self._child.pid)
            self._guard = subprocess.Popen(  # noqa: S603 - likewise
                [sys.executable, "-I", "-S", guard.__file__, *pids],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
        except BaseException:  # a Ctrl-C too: nobody would end it
            self._child.kill()
            self._child.wait()
            raise

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    def ended_within(self, timeout: float | None) -> bool:
        """Wait at most `timeout` seconds, or for ever, for its end; tell whether it has ended."""
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def terminate(self, timeout: float) -> None:
        """Ask it to end, and kill it when it has not after `timeout` seconds."""
        self._child.terminate()
        try:
            self.ended_within(timeout)
        finally:  # a second Ctrl-C ends the wait, not the care
            self.kill()

    def kill(self) -> None:
        """Kill it at once and wait until it is gone."""
        self._child.kill()
        self._child.wait()
        self._guard.kill()
        self._guard.communicate()
