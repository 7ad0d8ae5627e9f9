"""`make crash`: what the loss of one server of three costs the calls of a client.

    python -m benchmarks.crash [--rate 300] [--rounds 3] [--bootstrap HOST:PORT]

Each round, three servers are called at a steady rate, and one of them is killed with -9. The calls
are idempotent and have no key, and their retries are the library's defaults. It fails unless every
call comes back, and the slowest one in less than a second and a half.
"""

import hashlib
import math
import signal
import statistics
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from typing import Protocol

import click
from rich.console import Console
from rich.table import Table

from rpc import Channel, RpcError, Stub, method, serve
from transports.kafka.broker import Broker

SERVERS = 3
WARM, AFTER = 5.0, 12.0
"""Seconds of calls before the crash, and after it: past the session of the dead server."""
BOUND = 1.5
HIT = 0.1
"""Seconds: a call that took longer counts as hit by the crash."""


class Digests(Protocol):
    """Something that may be done twice."""

    @method(timeout=10.0, idempotent=True)
    def digest(self, text: str) -> str:
        """Return the SHA-256 of `text`, in hexadecimal."""
        ...


class DigestsImpl(Digests):
    """Works for two milliseconds, so that some calls are always under way."""

    @method
    def digest(self, text: str) -> str:
        time.sleep(0.002)
        return hashlib.sha256(text.encode()).hexdigest()


def run_server(bootstrap):
    """Be one of the servers."""
    serve(
        DigestsImpl(),
        transport=f"kafka://{bootstrap}",
        on_ready=lambda _: print("ready", flush=True),
    )


def start_server(bootstrap, stack):
    """Start a server in a process of its own; return it once it is ready."""
    command = [sys.executable, "-m", "benchmarks.crash", "server", bootstrap]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    stack.callback(end, server)
    if server.stdout.readline().strip() != "ready":
        raise SystemExit(f"{' '.join(command)} did not start")
    return server


def end(server):
    server.kill()
    server.wait()


class Tally:
    """How long each call took, and how those that failed did."""

    def __init__(self):
        self._changed = threading.Condition()
        self.began = []
        self.took = []
        self.failed = []

    def watch(self, call, began):
        call.add_done_callback(lambda ended: self._end(ended, began))

    def _end(self, call, began):
        took = time.monotonic() - began
        with self._changed:
            self.began.append(began)
            self.took.append(took)
            try:
                call.result()
            except RpcError as error:
                self.failed.append(f"{error.code} {error.certainty}: {error.message}")
            self._changed.notify_all()

    def wait(self, calls):
        with self._changed:
            self._changed.wait_for(lambda: len(self.took) == calls, 30)


def crash(bootstrap, rate, stack, console):
    """Return the tally of one round, and when the server was killed."""
    servers = [start_server(bootstrap, stack) for _ in range(SERVERS)]
    tally = Tally()
    with Channel(f"kafka://{bootstrap}") as channel:
        client = Stub(Digests, channel=channel)
        client.digest("warm")
        began, killed, calls = time.monotonic(), math.inf, int(rate * (WARM + AFTER))
        for number in range(calls):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            if killed == math.inf and time.monotonic() - began > WARM:
                console.print(f"kill -9 of server {servers[0].pid}")
                killed = time.monotonic()
                servers[0].send_signal(signal.SIGKILL)
            tally.watch(client.digest.future(f"call {number}"), time.monotonic())
        tally.wait(calls)
    for server in servers:
        end(server)
    return tally, calls, killed


@click.command(help=__doc__)
@click.option("--rate", default=300.0, show_default=True, help="calls a second")
@click.option("--rounds", default=3, show_default=True)
@click.option("--bootstrap", envvar="BOOTSTRAP", help="a broker that runs; default: one of our own")
def main(rate, rounds, bootstrap):
    console = Console(stderr=True)
    table = Table(title=f"one of {SERVERS} servers killed, {rate:g} calls/s; milliseconds")
    for name in ("round", "calls", "failed", "p50", "p99", "hit", "hit p50", "slowest"):
        table.add_column(name, justify="right")
    faults = []
    with ExitStack() as stack:
        if bootstrap is None:
            bootstrap = stack.enter_context(Broker()).bootstrap
        for number in range(1, rounds + 1):
            tally, calls, killed = crash(bootstrap, rate, stack, console)
            pairs = zip(tally.began, tally.took, strict=True)
            after = [took for began, took in pairs if began + took >= killed]
            hit = [took for took in after if took > HIT]
            slowest = max(after)
            cuts = statistics.quantiles(tally.took, n=100)
            figures = (cuts[49], cuts[98])
            row = (
                number,
                len(tally.took),
                len(tally.failed),
                *(f"{1000 * x:.1f}" for x in figures),
            )
            middle = f"{1000 * statistics.median(hit):.0f}" if hit else "-"
            table.add_row(*map(str, row), str(len(hit)), middle, f"{1000 * slowest:.0f}")
            faults += [f"round {number}: {what}" for what in tally.failed[:3]]
            if len(tally.took) < calls:
                faults.append(f"round {number}: {calls - len(tally.took)} calls did not end")
            if slowest >= BOUND:
                faults.append(f"round {number}: the slowest call took {slowest:.3f} s")
    Console().print(table)
    Console().print("\n".join(faults) or f"no call failed, and none took {BOUND:g} s")
    sys.exit(bool(faults))


if __name__ == "__main__":
    if sys.argv[1:2] == ["server"]:
        run_server(sys.argv[2])
    else:
        main()
