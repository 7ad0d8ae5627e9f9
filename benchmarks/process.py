"""Processes that are measured, spoken to in lines of JSON."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

_PATIENCE = 120.0  # seconds without an answer after which a process is ended


class Refused(Exception):
    """A process could not do what it was started or asked for: why."""


class Child:
    """A process that has said that it is ready when this returns. Raises `Refused`."""

    def __init__(self, command):
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            self.told = self.hear()
            """What it said when it was ready."""
        except Refused:
            self.close()
            raise

    @property
    def pid(self):
        """The number of the process."""
        return self._process.pid

    def hear(self):
        """Return the next answer. Raises `Refused` where it says that it can't, or says nothing."""
        watchdog = threading.Timer(_PATIENCE, self._process.kill)
        watchdog.start()
        line = self._process.stdout.readline()
        watchdog.cancel()
        answer = json.loads(line) if line else {"refused": "the process ended"}
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer

    def tell(self, **what):
        """Send a line; `hear` returns the answer to it."""
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def ask(self, **what):
        """Send a line and return the answer to it."""
        self.tell(**what)
        return self.hear()

    def cpu(self):
        """Return the seconds of processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        """End it, by force where it does not end by itself."""
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process.stdout.close()


def python(module, *arguments):
    """Return a process of one of our modules."""
    return Child([sys.executable, "-m", module, *arguments])


def say(**fields):
    """Answer, in a child process."""
    print(json.dumps(fields), flush=True)


def questions():
    """Say that a child process is ready, and yield what it is asked until its parent is done."""
    say(ready=True)
    for line in sys.stdin:
        yield json.loads(line)


def quantile(ordered, share):
    """Return the value below which `share` of the sorted values lie; 0 where there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def measured(run, seconds):
    """Return the figures of `run`, which returns latencies, over about `seconds`."""
    cpu = time.process_time()
    latencies = sorted(run())
    cpu = time.process_time() - cpu
    return {
        "calls": len(latencies),
        "rps": len(latencies) / seconds,
        "p50_ms": quantile(latencies, 0.5) * 1000,
        "p99_ms": quantile(latencies, 0.99) * 1000,
        "p999_ms": quantile(latencies, 0.999) * 1000,
        "client_cpu_us": cpu / max(1, len(latencies)) * 1e6,
    }
