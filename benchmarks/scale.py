"""`make scale`: how throughput and latency go with clients, servers, partitions, and sizes.

    python -m benchmarks.scale [--query 'client=confluent'] [--seconds 2] [--only clients ...]

    clients      client processes, 64 calls in flight each
    instances    channels of one process on one transport, each with its own inbox on one of 16
                 reply partitions; 256 calls in flight together
    servers      server processes, 4 clients with 64 calls in flight each
    partitions   of the request topic, one server, 256 calls in flight
    payload      bytes of argument and result, 64 calls in flight
    inflight     calls in flight from one client by `.aio`

and what one call in flight, and one stub, take of memory, without a broker. All processes share the
cores of this machine: more of them are more work for the same. Writes `build/scale.json` and
`build/scale.svg`.
"""

import json
import os
import secrets
import tracemalloc
from contextlib import ExitStack
from pathlib import Path

import click

from benchmarks import chart, report
from benchmarks.contract import Echo
from benchmarks.null import NullTransport
from benchmarks.process import Refused, python
from rpc import Channel, RpcError, Stub
from transports.kafka.broker import Broker

SWEEPS = {
    "clients": (1, 2, 4, 8),
    "instances": (1, 10, 50, 200),
    "servers": (1, 2, 4),
    "partitions": (1, 12, 64),
    "payload": (100, 1000, 10_000, 100_000),
    "inflight": (64, 512, 1000, 10_000),
}


_SLOW = 5.0  # seconds at least where so much is in flight that calls take long


class Setting:
    """Servers and clients of a service that nobody else has."""

    def __init__(self, bootstrap, query):
        run = f"scale-{secrets.token_hex(4)}"
        self._service = run
        self._url = f"kafka://{bootstrap}?client_id={run}" + (f"&{query}" if query else "")
        self._stack = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def start(self, side, count=1, **more):
        """Start so many processes of one side."""
        url = self._url + "".join(f"&{name}={value}" for name, value in more.pop("url", {}).items())
        address = {"url": url, "service": self._service, **more}
        started = []
        for _ in range(count):
            started.append(python("benchmarks.child", side, "ours", json.dumps(address)))
            self._stack.callback(started[-1].close)
        return started

    @staticmethod
    def run(clients, seconds, *, in_flight, payload=100, style="future"):
        """Return the figures of all clients together: the median of p50, the worst p99."""
        what = {"style": style, "in_flight": in_flight, "payload": payload}
        for each in clients:  # warm up
            each.ask(**what, seconds=0.5)
        for each in clients:
            each.tell(**what, seconds=seconds)
        found = [each.hear() for each in clients]
        return {
            "rps": sum(each["rps"] for each in found),
            "p50_ms": sorted(each["p50_ms"] for each in found)[len(found) // 2],
            "p99_ms": max(each["p99_ms"] for each in found),
        }


def measure(sweep, value, bootstrap, query, seconds):
    """Return the figures of one point."""
    with Setting(bootstrap, query) as field:
        partitions = {"partitions": value} if sweep == "partitions" else {}
        field.start("server", value if sweep == "servers" else 1, url=partitions)
        if sweep == "clients":
            return field.run(field.start("client", value), seconds, in_flight=64)
        if sweep == "instances":
            clients = field.start("client", instances=value)
            return field.run(clients, max(seconds, _SLOW), in_flight=256)
        if sweep == "servers":
            return field.run(field.start("client", 4), seconds, in_flight=64)
        (client,) = field.start("client", url=partitions)
        if sweep == "partitions":
            return field.run([client], seconds, in_flight=256)
        if sweep == "payload":
            return field.run([client], seconds, in_flight=64, payload=value)
        return field.run([client], max(seconds, _SLOW), in_flight=value, style="aio")


def memory(count=10_000):
    """Return the bytes that a call in flight takes, with 100 bytes of argument, and a stub."""
    transport = NullTransport()
    channel = Channel(transport, max_pending=count + 1)
    stub = Stub(Echo, channel=channel)
    stub.echo.future("")
    transport.acknowledge()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    calls = [stub.echo.future(f"{number:0100}") for number in range(count)]
    transport.acknowledge()
    pending, _ = tracemalloc.get_traced_memory()
    stubs = [Stub(Echo, channel=channel) for _ in range(1000)]
    for each in stubs:
        assert each.echo
    made, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    each = {"call": (pending - before) / len(calls), "stub": (made - pending) / len(stubs)}
    channel.close()
    return each


def refusal(bootstrap, query):
    """Return what is said of an argument of 10 MB."""
    url = f"kafka://{bootstrap}" + (f"?{query}" if query else "")
    with Channel(url, wait_for_ready=True) as channel:
        try:
            Stub(Echo, channel=channel).echo("x" * 10_000_000)
        except RpcError as error:
            return f"{error.code.value}, {error.certainty.value}: {error}"
    return "it was not refused"


def table(rows, *, markdown):
    """Return the figures as a table."""
    shown = report.new_table("how it scales", markdown=markdown)
    for name in ("what", "number", "calls/s", "p50 ms", "p99 ms"):
        shown.add_column(name, justify="left" if name == "what" else "right")
    for row in rows:
        shown.add_row(
            row["sweep"],
            f"{row['value']:,}",
            f"{row['rps']:,.0f}",
            f"{row['p50_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
            end_section=not markdown and row["value"] == SWEEPS[row["sweep"]][-1],
        )
    return shown


@click.command(help=__doc__)
@click.option("--bootstrap", envvar="BOOTSTRAP", help="a broker that runs; default: one of our own")
@click.option("--query", default="", help="of the transport's URL, as client=confluent")
@click.option("--seconds", default=2.0, show_default=True, help="of each run")
@click.option("--only", multiple=True, type=click.Choice(list(SWEEPS)), help="default: all")
@click.option("--markdown", is_flag=True, help="print the tables as they stand in the docs")
@click.option("--out", default="build/scale.json", show_default=True, type=Path)
def main(*, bootstrap, query, seconds, only, markdown, out):
    console = report.console(markdown=markdown)
    rows = []
    with ExitStack() as stack:
        if bootstrap is None:
            bootstrap = stack.enter_context(Broker(fast_start=False, heap="1g")).bootstrap
        for sweep in only or SWEEPS:
            for value in SWEEPS[sweep]:
                try:
                    figures = measure(sweep, value, bootstrap, query, seconds)
                except Refused as reason:
                    console.print(f"[red]{sweep} {value}:[/] {reason}")
                    continue
                rows.append({"sweep": sweep, "value": value, **figures})
        told = refusal(bootstrap, query)
    console.print(table(rows, markdown=markdown))
    each = memory()
    console.print(
        f"a call in flight takes {each['call']:,.0f} bytes of memory, with 100 bytes of argument; "
        f"a stub {each['stub']:,.0f}; {os.cpu_count()} cores"
    )
    console.print(f"an argument of 10 MB: {told}")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"rows": rows, "memory": each}, indent=1) + "\n")
    chart.draw_sweeps(rows, out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
