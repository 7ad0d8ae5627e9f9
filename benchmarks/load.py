"""Steady load on servers that are processes: what the commands about faults measure with.

Calls leave at a fixed rate, whatever becomes of earlier ones. Each handler leaves its call's id in
a file that all servers append to, so that repeated runs are counted.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple, Protocol

from rpc import Channel, RpcError, Stub, current_call, method, serve

SERVER = "benchmarks.load"
PATIENCE = 60.0


class Work(Protocol):
    """Work of two milliseconds."""

    @method(idempotent=True)
    def read(self, text: str) -> str:
        """Return `text` and the id of the serving process."""
        ...

    @method
    def write(self, text: str) -> str:
        """Likewise; not to be repeated."""
        ...


class WorkImpl(Work):
    """Leaves the id of each call that it handles in a file."""

    def __init__(self, ledger):
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def _do(self, text):
        os.write(self._ledger, current_call().call_id.hex().encode() + b"\n")
        time.sleep(0.002)
        return f"{text} {os.getpid()}"

    @method
    def read(self, text: str) -> str:
        return self._do(text)

    @method
    def write(self, text: str) -> str:
        return self._do(text)


class ServerProcess:
    """A server as a process of its own; ready when this returns."""

    def __init__(self, url, ledger):
        self.process = subprocess.Popen(
            [sys.executable, "-m", SERVER, url, str(ledger)], stdout=subprocess.PIPE, text=True
        )
        if self.process.stdout.readline().strip() != "ready":
            raise SystemExit(f"a server did not start at {url}")

    def end(self, number):
        """Send a signal and wait for the end; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        self.process.stdout.close()


class Ended(NamedTuple):
    """One call that has ended: when it began, how long it took, what failed, who answered."""

    method: str
    began: float
    took: float
    error: str | None
    call_id: str
    acknowledged: bool


class Load:
    """Calls at a rate from one channel, on a thread of its own, until it is closed."""

    def __init__(self, url, rate, timeout, methods=("read", "write"), **options):
        self._channel = Channel(url, timeout=timeout, max_pending=100_000, **options)
        client = Stub(Work, channel=self._channel)
        self._methods = [(name, getattr(client, name)) for name in methods]
        for _, bound in self._methods:
            bound("warm")
        self._rate = rate
        self._changed = threading.Condition()
        self._started = 0
        self.ended = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")
        self._thread.start()

    def _run(self):
        began = time.monotonic()
        while not self._stop.wait(max(0.0, began + self._started / self._rate - time.monotonic())):
            name, bound = self._methods[self._started % len(self._methods)]
            self._started += 1
            now = time.monotonic()
            call = bound.future(str(self._started))
            call.add_done_callback(lambda call, name=name, now=now: self._note(call, name, now))

    def _note(self, call, name, began):
        error = call.exception()
        told = f"{error.code} {error.certainty}" if isinstance(error, RpcError) else None
        ended = Ended(
            name,
            began,
            time.monotonic() - began,
            told,
            call.call_id.hex(),
            call.receipt is not None,
        )
        with self._changed:
            self.ended.append(ended)
            self._changed.notify_all()

    def close(self):
        """Start no more calls, wait for the end of those that run, and close the channel."""
        self._stop.set()
        self._thread.join()
        with self._changed:
            self._changed.wait_for(lambda: len(self.ended) == self._started, PATIENCE)
        self._channel.close()

    def since(self, moment, until=float("inf")):
        """Return the calls that began then."""
        with self._changed:
            return [call for call in self.ended if moment <= call.began < until]


def repeated(ledger):
    """Return by call id how often it was handled, of those handled more than once."""
    counts = Counter(Path(ledger).read_text(encoding="ascii").split())
    return {call: count for call, count in counts.items() if count > 1}


def quantile(values, share):
    """Return the value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


if __name__ == "__main__":
    serve(
        WorkImpl(sys.argv[2]),
        transport=sys.argv[1],
        on_ready=lambda _: print("ready", flush=True),
    )
