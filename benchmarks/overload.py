"""`make overload`: what a server does at twice the load that it can do.

    python -m benchmarks.overload [--seconds 60] [--bootstrap localhost:9092]

A server with four workers whose handler waits for 10 ms, and a client, on one real broker. First
the peak: as many calls as come back, with 64 in flight. Then twice as many a second, whether they
come back or not, each with a deadline of 2 s. Then half of the peak, until a second has gone
without a failed call. Told are: goodput, the calls that succeeded, by the peak; how fast refusals
came; and how long recovery took.
"""

import json
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import nullcontext
from typing import Protocol

import click

from rpc import NO_RETRY, Channel, Overloaded, Server, Stub, method, service
from transports.kafka import KafkaTransport
from transports.kafka.broker import Broker
from transports.kafka.config import KafkaConfig

WORKERS, TAKES, DEADLINE, IN_FLIGHT = 4, 0.01, 2.0, 64
TARGETS = {"goodput": 0.8, "refusal_ms": 100.0, "recovery_s": 10.0}


def contract(name):
    """Return the contract under a name of its own, so that runs do not meet."""

    @service(name=name)
    class Work(Protocol):
        @method
        def do(self) -> int: ...

    return Work


def serve(bootstrap, name):
    """Serve until standard input ends."""

    class Impl(contract(name)):
        def do(self) -> int:
            time.sleep(TAKES)  # as a handler that waits for a database
            return 1

    with _transport(bootstrap) as transport, Server(Impl(), transport=transport, workers=WORKERS):
        print("ready", flush=True)
        sys.stdin.read()


class Load:
    """Calls, and what came of them: when each ended, after how long, and how."""

    def __init__(self, do):
        self._do = do
        self._lock = threading.Lock()
        self.ends = []

    def call(self, then=lambda: None):
        """Make a call; `then` runs once it has ended."""
        began = time.perf_counter()

        def ended(call):
            now, error = time.perf_counter(), call.exception(0)
            kind = "ok" if error is None else type(error).__name__
            with self._lock:
                self.ends.append((now, now - began, kind))
            then()

        self._do.future().add_done_callback(ended)

    def peak(self, seconds):
        """Return the calls per second with `IN_FLIGHT` at once."""
        free, ends = threading.Semaphore(IN_FLIGHT), time.perf_counter() + seconds
        began = len(self.ends)
        while time.perf_counter() < ends:
            free.acquire()
            self.call(free.release)
        done = len(self.ends) - began
        for _ in range(IN_FLIGHT):
            free.acquire()
        return done / seconds

    def offer(self, rate, seconds, until=lambda: False):
        """Make `rate` calls per second, whatever comes back; return when it began and ended."""
        began = time.perf_counter()
        for number in range(int(rate * seconds)):
            wait = began + number / rate - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            if until():
                break
            self.call()
        return began, time.perf_counter()

    def between(self, since, until):
        """Return what ended in that time."""
        with self._lock:
            return [end for end in self.ends if since <= end[0] < until]


def measure(bootstrap, name, seconds):
    """Return the figures of one run."""
    with _transport(bootstrap) as transport, Channel(transport, max_pending=100_000) as channel:
        do = Stub(contract(name), channel=channel).do
        load = Load(do.with_options(timeout=DEADLINE, retry=NO_RETRY))
        load.peak(1.0)
        peak = load.peak(5.0)
        began, ended = load.offer(2 * peak, seconds)
        during = load.between(began, ended)
        refusals = [took for _, took, kind in during if kind == Overloaded.__name__]
        recovered = load.offer(peak / 2, 20.0, until=lambda: _quiet(load, ended))[1]
    kinds = Counter(kind for *_, kind in during)
    return {
        "peak": peak,
        "goodput": kinds["ok"] / (ended - began) / peak,
        "refusal_ms": statistics.median(refusals) * 1000 if refusals else 0.0,
        "recovery_s": max(0.0, recovered - ended - 1.0),
        "ended": dict(kinds),
    }


def _quiet(load, since):
    """Whether the last second has gone without a failed call."""
    now = time.perf_counter()
    last = load.between(now - 1.0, now)
    return now - since > 1.0 and len(last) > 0 and all(kind == "ok" for *_, kind in last)


def _transport(bootstrap):
    return KafkaTransport(KafkaConfig(bootstrap=(bootstrap,), client_id="overload", partitions=4))


@click.command()
@click.option("--seconds", default=60.0, help="How long twice the load lasts.")
@click.option("--bootstrap", default=None, help="A broker that runs; else one is started.")
@click.option("--serve", "name", default=None, hidden=True)
def main(seconds, bootstrap, name):
    """Measure goodput, refusals and recovery at twice the capacity of a server."""
    if name is not None:
        serve(bootstrap, name)
        return
    with Broker() if bootstrap is None else nullcontext() as broker:
        where = bootstrap if broker is None else broker.bootstrap
        name = f"overload-{uuid.uuid4().hex[:8]}"
        command = [sys.executable, "-m", "benchmarks.overload", "--bootstrap", where]
        with subprocess.Popen(
            [*command, "--serve", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout.readline() == "ready\n", "the server does not come up"
            figures = measure(where, name, seconds)
            server.stdin.close()
    print(json.dumps(figures, indent=2))
    good = (
        figures["goodput"] >= TARGETS["goodput"]
        and figures["refusal_ms"] < TARGETS["refusal_ms"]
        and figures["recovery_s"] <= TARGETS["recovery_s"]
    )
    print("as promised" if good else f"NOT as promised: {TARGETS}")
    sys.exit(not good)


if __name__ == "__main__":
    main()
