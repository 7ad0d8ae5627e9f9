"""Processes of the examples: started, waited for by what they print, and ended."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Process:
    """A child process whose output is read by a thread, `example-output`."""

    def __init__(self, args: list[str], url: str) -> None:
        self._printed = threading.Condition()
        self._lines: list[str] = []
        self._over = False
        self.child = subprocess.Popen(
            [sys.executable, *args],
            cwd=ROOT,
            env={**os.environ, "RPC_TRANSPORT": url, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name="example-output", daemon=True)
        self._reader.start()

    def wait_for(self, text: str, timeout: float = 60.0) -> str:
        """Return the first line that holds `text`; fails when the process ends without it."""

        def found() -> str | None:
            return next((line for line in self._lines if text in line), None)

        with self._printed:
            self._printed.wait_for(lambda: found() is not None or self._over, timeout)
            line = found()
            assert line is not None, f"no {text!r} in:\n" + "\n".join(self._lines)
            return line

    def output(self, timeout: float = 100.0) -> str:
        """Wait for the end of the process, and return what it printed."""
        self.child.wait(timeout)
        self._reader.join(timeout)
        return "\n".join(self._lines)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the process and return its exit code."""
        self.child.send_signal(number)
        return self.child.wait(60)

    def close(self) -> None:
        """End the process if it runs, and the thread."""
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.child.stdout is not None
        with self.child.stdout as output:
            for line in output:
                with self._printed:
                    self._lines.append(line.rstrip("\n"))
                    self._printed.notify_all()
        with self._printed:
            self._over = True
            self._printed.notify_all()


Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `python ARGS` with `RPC_TRANSPORT` set; what still runs at the end is killed."""
    started: list[Process] = []

    def run(*args: str, url: str = "memory://") -> Process:
        started.append(Process(list(args), url))
        return started[-1]

    yield run
    for process in started:
        process.close()


@pytest.fixture
def kafka_url(bootstrap: str, topic_prefix: str) -> str:
    """An address whose reply topic no other test uses."""
    return f"kafka://{bootstrap}?client_id={topic_prefix}"
