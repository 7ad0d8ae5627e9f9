"""`make bench`: this framework beside the raw driver, in interleaved rounds, as ratios.

    python -m benchmarks [--rounds 3] [--seconds 3] [--payload 100] [--bootstrap HOST:PORT]

Figures drift by tens of percent on a shared machine: the medians of interleaved rounds are
compared, and only their ratios mean something. Writes `build/bench.json`.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import peers
from transports.kafka.broker import Broker

CONTENDERS = [
    ("raw", "future", 1),
    ("rpc", "future", 1),
    ("raw", "future", 64),
    ("rpc", "future", 64),
    ("rpc", "aio", 64),
    ("rpc", "threads", 64),
    ("raw", "future", 512),
    ("rpc", "future", 512),
    ("rpc", "aio", 512),
]


class Child:
    """A process of `benchmarks.child`, spoken to in lines of JSON."""

    def __init__(self, role, bootstrap):
        command = [sys.executable, "-m", "benchmarks.child", role, bootstrap]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.hear()

    def hear(self):
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a child process ended: {' '.join(self._process.args)}")
        return json.loads(line)

    def ask(self, **what):
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return self.hear()

    def cpu(self):
        """Seconds of processor time that it has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self._process.terminate()
        self._process.wait(20)
        self._process.stdin.close()
        self._process.stdout.close()


@contextmanager
def children(bootstrap):
    peers.prepare(bootstrap)
    with ExitStack() as stack:
        roles = {}
        for role in ("raw-server", "raw-client", "rpc-server", "rpc-client"):
            roles[role] = Child(role, bootstrap)
            stack.callback(roles[role].close)
        yield roles


def measure(roles, rounds, seconds, payload, console):
    runs = []
    # Every other round backwards: a machine with a quota is slower after whoever ran hard.
    plan = [(r, *c) for r in range(rounds + 1) for c in CONTENDERS[:: -1 if r % 2 else 1]]
    for round_, layer, style, in_flight in track(plan, "measuring", console=console):
        server = roles[f"{layer}-server"]
        before = server.cpu()
        result = roles[f"{layer}-client"].ask(
            style=style, in_flight=in_flight, payload=payload, seconds=seconds
        )
        result["server_cpu_us"] = (server.cpu() - before) / max(1, result["calls"]) * 1e6
        if round_ > 0:  # the first round warms up connections, caches and the broker's JIT
            runs.append(result | {"layer": layer, "style": style, "inflight": in_flight})
    return runs


def medians(runs, payload):
    rows = []
    for layer, style, in_flight in CONTENDERS:
        mine = [
            run
            for run in runs
            if (run["layer"], run["style"], run["inflight"]) == (layer, style, in_flight)
        ]
        figures = ("rps", "p50_ms", "p99_ms", "client_cpu_us", "server_cpu_us")
        row = {name: statistics.median(run[name] for run in mine) for name in figures}
        rows.append(
            {"layer": layer, "driver": "kafka-python", "frames": False, "inflight": in_flight}
            | {"payload": payload, "style": style}
            | row
        )
    return rows


def table(rows):
    raw = {row["inflight"]: row for row in rows if row["layer"] == "raw"}
    shown = Table(title="calls over Kafka, beside the raw driver in the same run")
    for name in ("in flight", "", "calls/s", "p50 ms", "p99 ms", "client us", "server us"):
        shown.add_column(name, justify="left" if not name else "right")
    shown.add_column("throughput / raw", justify="right")
    shown.add_column("p50 / raw", justify="right")
    for row in rows:
        base = raw[row["inflight"]]
        name = "raw kafka-python" if row["layer"] == "raw" else f"parley .{row['style']}"
        shown.add_row(
            str(row["inflight"]),
            name,
            f"{row['rps']:,.0f}",
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            f"{row['client_cpu_us']:.0f}",
            f"{row['server_cpu_us']:.0f}",
            f"{row['rps'] / base['rps']:.2f}",
            f"{row['p50_ms'] / base['p50_ms']:.2f}",
        )
    return shown


def conditions(rounds, seconds, payload):
    versions = ", ".join(f"{name} {version(name)}" for name in ("kafka-python", "msgspec"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, CPython "
        f"{platform.python_version()}, {versions}; one broker on loopback, {payload} B, acks=all; "
        f"medians of {rounds} interleaved rounds of {seconds:g} s"
    )


@click.command(help=__doc__)
@click.option("--rounds", default=4, show_default=True)
@click.option("--seconds", default=3.0, show_default=True)
@click.option("--payload", default=100, show_default=True, help="bytes of each argument and result")
@click.option("--bootstrap", envvar="BOOTSTRAP", help="a broker that runs; default: one of our own")
@click.option("--out", default="build/bench.json", show_default=True, type=Path)
def main(rounds, seconds, payload, bootstrap, out):
    console = Console(stderr=True)
    with ExitStack() as stack:
        if bootstrap is None:
            console.print("starting Apache Kafka ...")
            bootstrap = stack.enter_context(Broker(fast_start=False, heap="1g")).bootstrap
        roles = stack.enter_context(children(bootstrap))
        rows = medians(measure(roles, rounds, seconds, payload, console), payload)
    Console(width=110).print(table(rows), conditions(rounds, seconds, payload))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
