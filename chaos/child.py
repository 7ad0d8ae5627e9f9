"""Processes of a run: started with a pipe that ends with us, ended by their own process id."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Child", "end_with_parent"]


class Child:
    """One process of `module`; its output goes into a file of the run's folder.

    It ends with this process, however that ends: see `end_with_parent`. One thread at a time.
    """

    def __init__(
        self,
        module: str,
        number: int,
        folder: Path,
        *arguments: object,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.module, self.number = module, number
        command = [sys.executable, "-m", module, str(folder), str(number), *map(str, arguments)]
        role = module.rpartition(".")[2]
        with (folder / f"{role}-{number}.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def state(self) -> str:
        """One letter of the kernel's: T is stopped by a signal; empty: gone."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text("ascii")
        except OSError:
            return ""
        return stat.rpartition(")")[2].split()[0]

    def await_ready(self, timeout: float = 60.0) -> bool:
        """Wait until it says that it is ready; False if it ended or took too long."""
        out = self._process.stdout
        assert out is not None
        alarm = threading.Timer(timeout, self._process.kill)
        alarm.start()
        try:
            return out.readline().strip() == b"ready"
        finally:
            alarm.cancel()

    def signal(self, number: int) -> None:
        """Send it a signal; one that has ended gets none."""
        self._process.send_signal(number)

    def wait(self, timeout: float) -> int | None:
        """Return its exit code, None if it still runs after `timeout` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End it at once and wait until it is gone; again: nothing."""
        if self.running:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def end_with_parent() -> None:
    """End this process when the one that started it is gone: standard input is its pipe."""

    def watch() -> None:
        os.read(0, 1)  # not through sys.stdin, whose lock would outlive this thread
        os._exit(3)

    threading.Thread(target=watch, name="chaos-parent", daemon=True).start()
