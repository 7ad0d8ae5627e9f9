"""`make soak`: calls under fire. Servers are killed and stopped, a client is restarted.

    python -m benchmarks.soak [--calls 20000] [--rate 1000] [--bootstrap HOST:PORT]

Four client processes call three server processes. On the way one server is killed with -9, one is
stopped with SIGTERM, and one client is killed and started again. It fails unless every call ended
by its deadline, every result belongs to its call, and every call of the idempotent method came
back: retries are on, and two servers were lost.
"""

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import Protocol

import click
from rich.console import Console
from rich.table import Table

from rpc import Channel, RetryPolicy, RpcError, Stub, method, serve
from transports.kafka.broker import Broker

CLIENTS, SERVERS = 4, 3
TIMEOUT = 20.0
GRACE = 0.5
"""Seconds after its deadline by which a call must have ended: timer, scheduling, two busy cores."""


class Digests(Protocol):
    """Results that belong to one call only."""

    @method(timeout=TIMEOUT, idempotent=True)
    def digest(self, text: str) -> str:
        """Return the SHA-256 of `text`, in hexadecimal, and the id of the serving process."""
        ...


class DigestsImpl(Digests):
    """Works for two milliseconds, so that some calls are always under way."""

    @method
    def digest(self, text: str) -> str:
        time.sleep(0.002)
        return f"{_digest(text)} {os.getpid()}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def run_server(bootstrap: str) -> None:
    """Be one of the servers."""
    serve(
        DigestsImpl(),
        transport=f"kafka://{bootstrap}",
        on_ready=lambda _: print("ready", flush=True),
    )


def run_client(bootstrap: str, calls: int, rate: float) -> None:
    """Be one of the clients: `calls` calls at `rate` a second; tell what became of them."""
    retry = RetryPolicy(attempts=5, attempt_timeout=1.0)
    report = Report()
    with Channel(f"kafka://{bootstrap}", retry=retry) as channel:
        client = Stub(Digests, channel=channel)
        client.digest("warm")
        print("ready", flush=True)
        began = time.monotonic()
        for number in range(calls):
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            report.watch(client.digest, f"{os.getpid()}-{number}")
            if number % 100 == 0:
                print(json.dumps({"sent": number}), flush=True)
        report.wait(calls)
        report.tell(late_replies=channel.late_replies, foreign=channel.foreign_replies)


class Report:
    """What became of the calls of one client."""

    def __init__(self):
        self._changed = threading.Condition()
        self._ended = 0
        self._overdue = 0
        self._wrong = 0
        self._slowest = 0.0
        self._failed = Counter()
        self._servers = Counter()

    def watch(self, digest, text):
        began = time.monotonic()
        digest.future(text).add_done_callback(lambda call: self._end(call, text, began))

    def _end(self, call, text, began):
        took = time.monotonic() - began
        with self._changed:
            self._ended += 1
            self._slowest = max(self._slowest, took)
            self._overdue += took > TIMEOUT + GRACE
            try:
                digest, _, server = call.result().partition(" ")
            except RpcError as error:
                self._failed[f"{error.code} {error.certainty}"] += 1
            else:
                self._wrong += digest != _digest(text)
                self._servers[server] += 1
            self._changed.notify_all()

    def wait(self, calls):
        with self._changed:
            self._changed.wait_for(lambda: self._ended == calls, TIMEOUT + 10)

    def tell(self, **more):
        fields = {
            "ended": self._ended,
            "overdue": self._overdue,
            "wrong": self._wrong,
            "slowest_s": round(self._slowest, 3),
            "failed": dict(self._failed),
            "servers": dict(self._servers),
        }
        print(json.dumps(fields | more), flush=True)


class Child:
    """A process of this module, whose lines are read as they come."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", "benchmarks.soak", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{' '.join(command)} did not start")
        self.sent = 0
        self.last = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                self.last = json.loads(line)
                self.sent = self.last.get("sent", self.sent)

    def end(self, number):
        self.process.send_signal(number)
        return self.process.wait(60)

    def wait(self):
        code = self.process.wait(300)
        self._reader.join(10)
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def scenario(bootstrap, calls, rate, stack, console):
    share, pace = calls // CLIENTS, rate / CLIENTS

    def start(*arguments):
        child = Child(*arguments)
        stack.callback(child.close)
        return child

    servers = [start("server", bootstrap) for _ in range(SERVERS)]
    clients = [start("client", bootstrap, share, pace) for _ in range(CLIENTS)]
    console.print(f"{CLIENTS} clients call {SERVERS} servers, {rate:g} calls/s in all")
    _await(clients[0], share * 0.2)
    console.print(f"kill -9 of server {servers[0].process.pid}")
    servers[0].end(signal.SIGKILL)
    _await(clients[0], share * 0.4)
    console.print(f"kill -9 of client {clients[1].process.pid}, and another in its place")
    clients[1].end(signal.SIGKILL)
    clients[1] = start("client", bootstrap, share, pace)
    _await(clients[0], share * 0.6)
    console.print(f"SIGTERM to server {servers[1].process.pid}")
    code = servers[1].end(signal.SIGTERM)
    for client in clients:
        client.wait()
    return code, [client.last for client in clients]


def _await(client, sent):
    for _ in itertools.count():
        if client.sent >= sent or client.process.poll() is not None:
            return
        time.sleep(0.02)


def verdict(calls, exit_code, reports):
    """Return what is wrong; nothing, if every promise was kept."""
    ended = sum(report.get("ended", 0) for report in reports)
    faults = [] if exit_code == 0 else [f"the server stopped by SIGTERM exited with {exit_code}"]
    if ended != calls:
        faults.append(f"{ended} calls of {calls} ended")
    for name, what in (("overdue", "calls ended after their deadline"), ("wrong", "wrong replies")):
        count = sum(report.get(name, 0) for report in reports)
        faults += [f"{count} {what}"] if count else []
    failed = sum((Counter(report.get("failed", {})) for report in reports), Counter())
    faults += [f"{count} calls failed: {what}" for what, count in failed.items()]
    return faults


@click.command(help=__doc__)
@click.option("--calls", default=20_000, show_default=True)
@click.option("--rate", default=1_000.0, show_default=True, help="calls a second, all clients")
@click.option("--bootstrap", envvar="BOOTSTRAP", help="a broker that runs; default: one of our own")
def main(calls, rate, bootstrap):
    console = Console(stderr=True)
    with ExitStack() as stack:
        if bootstrap is None:
            bootstrap = stack.enter_context(Broker()).bootstrap
        exit_code, reports = scenario(bootstrap, calls, rate, stack, console)
    table = Table(title="calls under fire")
    names = ("ended", "overdue", "wrong", "slowest_s", "failed", "late_replies", "foreign")
    for name in ("client", *names):
        table.add_column(name)
    for number, report in enumerate(reports):
        table.add_row(str(number), *(str(report.get(name, "")) for name in names))
    Console().print(table)
    faults = verdict(calls, exit_code, reports)
    Console().print("\n".join(faults) or "every promise was kept")
    sys.exit(bool(faults))


if __name__ == "__main__":
    if sys.argv[1:2] == ["server"]:
        run_server(sys.argv[2])
    elif sys.argv[1:2] == ["client"]:
        run_client(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    else:
        main()
