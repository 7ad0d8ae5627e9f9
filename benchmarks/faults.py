"""`make faults`: what calls notice when brokers and servers go.

    python -m benchmarks.faults [--rate 300] [--only NAME]

    leader, coordinator, broker   kill -9 of the leader of a request partition, of the group's
                                  coordinator, of any other broker, of three; calls of 30 s
    rolling                       three servers are restarted one after the other
    crash                         one of three servers is killed with -9
    poison                        an undecodable record in each partition, beside none

Three server processes and one client; half of the calls are idempotent. Prints a table, and fails
where a call fails or an acknowledged request was not handled that should have been.
"""

import signal
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

import click
from kafka import KafkaAdminClient
from rich.console import Console
from rich.table import Table

from benchmarks.load import Load, ServerProcess, quantile, repeated
from transports.base import Address, Message
from transports.kafka import open_transport
from transports.kafka.broker import Broker, Cluster

TOPIC = "Work.requests"
SERVERS = 3
WARM, WINDOW = 5.0, 20.0  # seconds before a measurement, and of each half of one


class Field:
    """Servers on brokers, with a load on them."""

    def __init__(self, stack, brokers, rate, timeout, **load):
        self.url = f"kafka://{brokers.bootstrap}"
        self.ledger = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "handled"
        self.servers = [self._serve(stack) for _ in range(SERVERS)]
        self.load = Load(self.url, rate, timeout, **load)
        self._stack = stack
        stack.callback(self.load.close)
        time.sleep(3.0)  # part of the measurement: calls before the fault

    def _serve(self, stack):
        server = ServerProcess(self.url, self.ledger)
        stack.callback(server.close)
        return server

    def replace(self, number, how):
        """End one server, start another in its place."""
        code = self.servers[number].end(how)
        self.servers[number] = self._serve(self._stack)
        return code

    def row(self, began):
        """Close the load and return what it saw since `began`."""
        self.load.close()
        calls = self.load.since(began)
        slowest = {
            name: max((call.took for call in calls if call.method == name), default=0.0)
            for name in ("read", "write")
        }
        handled = set(self.ledger.read_text(encoding="ascii").split())
        twice = repeated(self.ledger)
        again = {
            name: sum(call.method == name and call.call_id in twice for call in calls)
            for name in ("read", "write")
        }
        failed = [call.error for call in calls if call.error]
        lost = sum(call.acknowledged and call.call_id not in handled for call in calls)
        return {
            "calls": len(calls),
            "failed": ", ".join(sorted(set(failed))) + f" ({len(failed)})" if failed else "0",
            "lost": str(lost),
            "idempotent handled twice": str(again["read"]),
            "others handled twice": str(again["write"]),
            "p50 ms": f"{quantile([c.took for c in calls], 0.5) * 1000:.0f}",
            "p99 ms": f"{quantile([c.took for c in calls], 0.99) * 1000:.0f}",
            "slowest idempotent s": f"{slowest['read']:.2f}",
            "slowest other s": f"{slowest['write']:.2f}",
        }


def broker_dies(stack, rate, which):
    """Kill a broker of three with -9, start it again, and look at calls of 30 s."""
    cluster = stack.enter_context(Cluster())
    field = Field(stack, cluster, rate, 30.0)
    node = _node(cluster, which)
    began = time.monotonic()
    node.kill()
    time.sleep(10.0)
    node.start()
    time.sleep(10.0)
    return field.row(began)


def _node(cluster, which):
    with closing(KafkaAdminClient(bootstrap_servers=cluster.bootstrap)) as admin:
        (topic,) = admin.describe_topics([TOPIC])
        leader = topic["partitions"][0]["leader_id"]
        asked = admin._manager.run  # noqa: SLF001 - nothing public tells the coordinator
        coordinator = int(asked(admin._find_coordinator_id, TOPIC))  # noqa: SLF001 - likewise
    nodes = {"leader": leader, "coordinator": coordinator}
    others = [number for number in (1, 2, 3) if number not in nodes.values()]
    return cluster.brokers[nodes.get(which, others[0]) - 1]


def rolling(stack, rate):
    """Restart each server in turn, by SIGTERM."""
    field = Field(stack, stack.enter_context(Broker(fast_start=False)), rate, 5.0)
    began = time.monotonic()
    codes = []
    for number in range(SERVERS):
        codes.append(field.replace(number, signal.SIGTERM))
        time.sleep(3.0)
    row = field.row(began)
    if any(codes):
        row["failed"] += f"; exit codes {codes}"
    return row


def crash(stack, rate):
    """Kill one of three servers with -9; idempotent calls alone."""
    broker = stack.enter_context(Broker(fast_start=False))
    field = Field(stack, broker, rate, 5.0, methods=("read",))
    began = time.monotonic()
    field.servers[0].end(signal.SIGKILL)
    time.sleep(12.0)
    return field.row(began)


def poison(stack, rate):
    """Write a record that can't be parsed into each partition, and look at its followers."""
    broker = stack.enter_context(Broker(fast_start=False))
    field = Field(stack, broker, rate, 5.0)
    time.sleep(WARM)
    warm = time.monotonic()
    time.sleep(WINDOW)
    transport = stack.enter_context(open_transport(field.url))
    began = time.monotonic()
    clean = quantile([call.took for call in field.load.since(warm, began)], 0.99)
    for partition in range(12):
        transport.send(Address(TOPIC, partition), Message(b"\xff"), lambda _: None)
    time.sleep(WINDOW)
    row = field.row(began)
    return row | {"p99 ms": f"{row['p99 ms']} (clean: {clean * 1000:.0f})"}


SCENARIOS = {
    "leader": lambda stack, rate: broker_dies(stack, rate, "leader"),
    "coordinator": lambda stack, rate: broker_dies(stack, rate, "coordinator"),
    "broker": lambda stack, rate: broker_dies(stack, rate, "broker"),
    "rolling": rolling,
    "crash": crash,
    "poison": poison,
}


@click.command(help=__doc__)
@click.option("--rate", default=300.0, show_default=True, help="calls a second")
@click.option("--only", type=click.Choice(list(SCENARIOS)), multiple=True)
def main(rate, only):
    console = Console(stderr=True)
    rows = {}
    for name in only or SCENARIOS:
        console.print(f"{name}: {(SCENARIOS[name].__doc__ or broker_dies.__doc__).strip()}")
        with ExitStack() as stack:
            rows[name] = SCENARIOS[name](stack, rate)
    table = Table()
    for column in ("fault", *next(iter(rows.values()))):
        table.add_column(column)
    for name, row in rows.items():
        table.add_row(name, *map(str, row.values()))
    Console(width=140).print(table)
    sys.exit(any(row["failed"] != "0" or row["lost"] != "0" for row in rows.values()))


if __name__ == "__main__":
    main()
