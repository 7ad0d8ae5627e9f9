"""The command line as a process, the way that users run it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rpc() -> Iterator[Callable[..., subprocess.Popen]]:
    """Start `rpc` with arguments; what still runs at the end of the test is ended."""
    started: list[subprocess.Popen] = []

    def start(*arguments: str, program: str | None = None, **environment: str) -> subprocess.Popen:
        run = ["-c", program] if program else ["-m", "rpc.cli"]
        process = subprocess.Popen(
            [sys.executable, *run, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | environment,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()
