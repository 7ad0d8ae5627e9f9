"""`make rebalance`: how long partitions go without service when a group changes.

    python -m benchmarks.rebalance [--rounds 3]

Two members serve four partitions into which 50 records a second each are written. The second
one joins, leaves in order, and is killed. What is told is the longest time between two records
that were handled, less the distance of two records, in partitions that stay with the first member
and in those that move. Our receiver with several heartbeats and as a static member, and
kafka-python's own consumer with eager and cooperative assignment, each in a group and a topic of
its own on one broker.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple

import click
from kafka import KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from rich.console import Console
from rich.table import Table

from transports.base import Address, Message
from transports.kafka import KafkaTransport
from transports.kafka.broker import Broker
from transports.kafka.config import KafkaConfig

PARTITIONS, EVERY = 4, 0.02
SESSION = 6.0
PATIENCE = 60.0


class Arrangement(NamedTuple):
    """How the members of a group are set up."""

    driver: str
    assignment: str
    heartbeat: float
    static: bool = False

    def __str__(self):
        return (
            f"{self.driver}, {self.assignment}, heartbeat {self.heartbeat:g} s"
            f"{', static' if self.static else ''}"
        )


ARRANGEMENTS = [
    Arrangement("parley", "eager", 0.5),
    Arrangement("parley", "eager", 1.0),
    Arrangement("parley", "eager", 2.0),
    Arrangement("parley", "eager", 0.5, static=True),
    Arrangement("kafka-python", "eager", 0.5),
    Arrangement("kafka-python", "eager", 2.0),
    Arrangement("kafka-python", "cooperative", 0.5),
    Arrangement("kafka-python", "cooperative", 2.0),
]


# -- a member, in a process of its own ----------------------------------------------------------


def run_member(bootstrap, topic, name, arrangement):
    """Handle records until SIGTERM; a line for each: when, partition, offset."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run = _run_ours if arrangement.driver == "parley" else _run_stock
    run(bootstrap, topic, name, arrangement, stop)


def _tell(records):
    now = time.monotonic()
    lines = "".join(f"{now} {partition} {offset}\n" for partition, offset in records)
    os.write(1, lines.encode())


def _run_ours(bootstrap, topic, name, arrangement, stop):
    config = KafkaConfig(
        bootstrap=(bootstrap,),
        client_id=name,
        heartbeat_interval=arrangement.heartbeat,
        session_timeout=SESSION,
        driver={"group_instance_id": name} if arrangement.static else {},
    )
    transport = KafkaTransport(config)
    receiver = transport.receiver(Address(topic), shared=True)
    while not stop.is_set():
        deliveries = receiver.receive(0.1)
        _tell([(each.receipt.partition, each.receipt.offset) for each in deliveries])
        for delivery in deliveries:
            delivery.ack()
    transport.close(5.0)


def _run_stock(bootstrap, topic, name, arrangement, stop):
    cooperative = arrangement.assignment == "cooperative"
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        client_id=name,
        group_id=topic,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=int(SESSION * 1000),
        heartbeat_interval_ms=int(arrangement.heartbeat * 1000),
        fetch_max_wait_ms=100,
        partition_assignment_strategy=[
            CooperativeStickyAssignor if cooperative else RangePartitionAssignor
        ],
    )
    consumer.partitions_for_topic(topic)  # a join may be lost without
    consumer.subscribe([topic])
    while not stop.is_set():
        polled = consumer.poll(100)
        _tell([(record.partition, record.offset) for some in polled.values() for record in some])
        if polled:
            consumer.commit_async()
    consumer.close(timeout_ms=5000)


# -- the group as it is seen from outside -------------------------------------------------------


class Member:
    """A member's process, whose lines are read as they come."""

    def __init__(self, bench, name):
        command = [sys.executable, "-m", "benchmarks.rebalance", "--member", bench.bootstrap]
        arguments = [bench.topic, name, json.dumps(bench.arrangement)]
        self._process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
        self._bench, self._name = bench, name
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            at, partition, offset = line.split()
            self._bench.note(self._name, float(at), int(partition), int(offset))

    def end(self, number):
        self._process.send_signal(number)
        self._process.wait(30)
        self._reader.join(10)
        self._process.stdout.close()


class Bench:
    """One topic that is written to, and what its members handle."""

    def __init__(self, bootstrap, transport, arrangement):
        self.bootstrap, self.arrangement = bootstrap, arrangement
        self.topic = f"rebalance-{uuid.uuid4().hex[:8]}"
        self._transport = transport
        self._changed = threading.Condition()
        self._handled = [[] for _ in range(PARTITIONS)]
        self._seen = set()
        self.repeated = 0
        self._ended = threading.Event()
        transport.prepare(Address(self.topic), PATIENCE)
        self._feeder = threading.Thread(target=self._feed)
        self._feeder.start()

    def _feed(self):
        while not self._ended.wait(EVERY):
            for partition in range(PARTITIONS):
                self._transport.send(Address(self.topic, partition), Message(b"x"), lambda _: None)

    def note(self, name, at, partition, offset):
        with self._changed:
            if (partition, offset) in self._seen:
                self.repeated += 1
            else:
                self._seen.add((partition, offset))
                self._handled[partition].append((at, name))
            self._changed.notify_all()

    def await_owners(self, *names):
        """Wait until exactly these members handle records, each of its share."""
        began = time.monotonic()

        def settled():
            last = [handled[-1] if handled else (0.0, "") for handled in self._handled]
            return {name for _, name in last} == set(names) and all(at > began for at, _ in last)

        with self._changed:
            if not self._changed.wait_for(settled, PATIENCE):
                raise SystemExit(f"{self.arrangement}: {names} never had all partitions")

    def holes(self, began):
        """Return the holes since `began`, of partitions that stayed and that moved."""
        with self._changed:
            return self._holes(began)

    def _holes(self, began):
        found = {"stay": [], "move": []}
        for handled in self._handled:
            before = [name for at, name in handled if at < began]
            since = [at for at, _ in handled if at > began - 0.2]
            hole = max(b - a for a, b in pairwise(since)) - EVERY
            found["stay" if before[-1] == handled[-1][1] else "move"].append(max(0.0, hole))
        return {kind: max(holes, default=None) for kind, holes in found.items()}

    def close(self):
        self._ended.set()
        self._feeder.join()


def measure(bootstrap, transport, arrangement):
    """Return the holes of each event."""
    bench = Bench(bootstrap, transport, arrangement)
    first, found = Member(bench, "a"), {}
    second = None
    try:
        bench.await_owners("a")
        for event, number in (("closes", signal.SIGTERM), ("is killed", signal.SIGKILL)):
            began = time.monotonic()
            second = Member(bench, "b")
            bench.await_owners("a", "b")
            found[f"joins ({event} next)"] = bench.holes(began)
            began = time.monotonic()
            second.end(number)
            if arrangement.static:  # a deployment: the same member comes back at once
                second = Member(bench, "b")
                bench.await_owners("a", "b")
                found[f"{event}, and is back"] = bench.holes(began)
                second.end(signal.SIGTERM)
            second = None
            bench.await_owners("a")
            if not arrangement.static:
                found[event] = bench.holes(began)
    finally:
        for member in filter(None, (first, second)):
            member.end(signal.SIGKILL)
        bench.close()
    return found, bench.repeated


@click.command(help=__doc__)
@click.option("--rounds", default=3, show_default=True)
def main(rounds):
    console = Console(stderr=True)
    results, repeated = defaultdict(list), defaultdict(int)
    with Broker(fast_start=False) as broker:
        config = KafkaConfig(bootstrap=(broker.bootstrap,), partitions=PARTITIONS)
        with KafkaTransport(config) as transport:
            for _ in range(rounds):
                for arrangement in ARRANGEMENTS:
                    console.print(str(arrangement))
                    found, again = measure(broker.bootstrap, transport, arrangement)
                    repeated[arrangement] += again
                    for event, holes in found.items():
                        results[arrangement, event.partition(" (")[0]].append(holes)
    table = Table(title="longest hole in service, seconds (median, worst)")
    for name in ("members", "the second one", "partitions that stay", "that move", "handled twice"):
        table.add_column(name)
    for (arrangement, event), holes in results.items():
        cells = []
        for kind in ("stay", "move"):
            known = [hole[kind] for hole in holes if hole[kind] is not None]
            cells.append(f"{statistics.median(known):.2f}, {max(known):.2f}" if known else "")
        table.add_row(str(arrangement), event, *cells, str(repeated[arrangement]))
    Console(width=120).print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--member"]:
        run_member(*sys.argv[2:5], Arrangement(*json.loads(sys.argv[5])))
    else:
        main()
