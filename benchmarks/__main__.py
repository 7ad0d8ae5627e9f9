"""`make bench`: this framework beside the raw drivers and gRPC, in interleaved rounds, as ratios.

    python -m benchmarks [--quick] [--only NAME ...] [--rounds 3] [--seconds 2]

Figures drift by tens of percent on a shared machine: the medians of interleaved rounds are
compared, and only their ratios mean something. Every contender has a server process and a client
process of its own, all on one broker; what is compared runs back to back, every other round
backwards. Writes `build/bench.json` and charts, and tells which bars are cleared.
"""

import json
import os
import platform
import statistics
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

from benchmarks import chart, report
from benchmarks.bars import bars
from benchmarks.contenders import CONTENDERS, begin, points
from benchmarks.idle import idle
from benchmarks.process import Refused
from transports.kafka.broker import Broker

_IDLE = 10.0  # seconds without a call, at the end
_FIGURES = ("rps", "p50_ms", "p99_ms", "p999_ms", "client_cpu_us", "server_cpu_us")
_LIBRARIES = ("kafka-python", "confluent-kafka", "aiokafka", "grpcio", "msgspec")


def measure(pairs, plan, rounds, seconds, console):
    """Return the figures of all runs by point; a contender that fails is out from then on."""
    runs = {point: [] for point in plan}
    # The first round warms up connections, caches and the broker's JIT. Every other one goes
    # backwards: a machine with a quota is slower after whoever ran hard.
    order = [(r, p) for r in range(rounds + 1) for p in plan[:: -1 if r % 2 else 1]]
    failed = set()
    for round_, point in track(order, "measuring", console=console):
        if point.contender in failed or (round_ == 0 and point.payload > 100):
            continue
        try:
            result = pairs[point.contender].run(point, seconds if round_ else min(seconds, 1.0))
        except (Refused, OSError) as reason:
            console.print(f"[red]{point.contender} failed[/] at {point}: {reason}")
            failed.add(point.contender)
            continue
        if round_:
            runs[point].append(result)
    return {point: found for point, found in runs.items() if found}


def medians(runs):
    """Return a row for each point."""
    rows = []
    for point, found in runs.items():
        contender = CONTENDERS[point.contender]
        rows.append(
            {
                "name": contender.name,
                "layer": contender.layer,
                "driver": contender.driver,
                "frames": contender.frames,
                "inflight": point.inflight,
                "payload": point.payload,
                "style": point.style,
                **{key: statistics.median(run[key] for run in found) for key in _FIGURES},
            }
        )
    return rows


def conditions(rounds, seconds):
    """Return what the figures were measured with."""
    versions = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, CPython "
        f"{platform.python_version()}, {versions}; one broker on loopback, acks=all; "
        f"medians of {rounds} interleaved rounds of {seconds:g} s"
    )


@click.command(help=__doc__)
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=2.0, show_default=True, help="of each run")
@click.option("--quick", is_flag=True, help="only the points that the bars need: 100 bytes")
@click.option("--only", multiple=True, type=click.Choice(list(CONTENDERS)), help="default: all")
@click.option("--inflight", multiple=True, type=int, help="only these numbers in flight")
@click.option("--payload", multiple=True, type=int, help="only these numbers of bytes")
@click.option("--bootstrap", envvar="BOOTSTRAP", help="a broker that runs; default: one of our own")
@click.option("--markdown", is_flag=True, help="print the tables as they stand in the docs")
@click.option("--out", default="build/bench.json", show_default=True, type=Path)
def main(*, rounds, seconds, quick, only, inflight, payload, bootstrap, markdown, out):
    console = Console(stderr=True)
    with ExitStack() as stack:
        if bootstrap is None:
            console.print("starting Apache Kafka ...")
            bootstrap = stack.enter_context(Broker(fast_start=False, heap="1g")).bootstrap
        pairs = begin(only or CONTENDERS, bootstrap, stack, console)
        plan = [
            point
            for point in points(list(pairs), quick=quick)
            if (not inflight or point.inflight in inflight)
            and (not payload or point.payload in payload)
        ]
        rows = medians(measure(pairs, plan, rounds, seconds, console))
        ours = {name: pair for name, pair in pairs.items() if CONTENDERS[name].layer == "rpc"}
        resting = idle(ours, _IDLE)
    told = conditions(rounds, seconds)
    shown = report.console(markdown=markdown)
    shown.print(report.figures_table(rows, markdown=markdown), told)
    shown.print(report.bars_table(bars(rows, resting), markdown=markdown))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(rows, indent=1) + "\n")
    charts = {"inflight": {"payload": 100}, "payload": {"inflight": 64}}
    for x, where in charts.items():
        if len({row[x] for row in rows}) > 1:
            picture = out.with_name(f"{out.stem}-{x}.svg")
            chart.draw(chart.series(rows, x, **where), x, told, picture)


if __name__ == "__main__":
    main()
