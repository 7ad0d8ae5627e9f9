"""Faults that concern everything at once: brokers that are all gone, clocks, partitions, a flood.

They come seldom, and alone: see `chaos.schedule`. As in `chaos.nemesis`, each is a generator that
breaks something before its `yield` and mends it after, and has seen that it bites.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from chaos.child import Child
from chaos.clock import BACK, FORWARD, HOUR
from chaos.cluster import ProxiedCluster
from chaos.fleet import Fleet, ended_in_order, ready
from chaos.observation import Unobserved, see
from chaos.schedule import Step
from chaos.workload import TOPIC

__all__ = ["Upheavals"]

Fault = Iterator[None]

_GROWN_BY = 2  # partitions
_SEEN_WITHIN = 40.0  # seconds until servers and clients have learned of it: each asks in ten
_FLOOD = 100  # number of the client
_END = 1 << 16  # bytes at a history's end in which its last lines are looked for


class Upheavals:
    """What `Nemesis` is told to do of these. One thread at a time."""

    def __init__(self, cluster: ProxiedCluster, fleet: Fleet, folder: Path) -> None:
        self._cluster, self._fleet, self._folder = cluster, fleet, folder

    def begin(self, step: Step) -> tuple[Fault, dict[str, Any]]:
        """Return the fault, which has not begun yet, and what to write down of it."""
        match step.name:
            case "all-brokers-down":
                return self._down(range(len(self._cluster.nodes))), {}
            case "two-brokers-down":
                first = step.target % len(self._cluster.nodes)
                down = [first, (first + 1) % len(self._cluster.nodes)]
                return self._down(down), {"brokers": down}
            case "grow-partitions":
                return self._grow(), {"by": _GROWN_BY}
            case "overload":
                return self._flood(), {}
            case "step-client-clock":
                return self._set_clock(step, self._fleet.clients)
            case "step-server-clock":
                return self._set_clock(step, self._fleet.servers)
        raise ValueError(f"no such fault: {step.name}")

    def _down(self, which: Sequence[int]) -> Fault:
        for index in which:
            self._cluster.kill(index)
        if any(self._cluster.nodes[index].running for index in which):
            raise Unobserved(f"of the brokers {list(which)} some still run")
        yield
        self._cluster.restart(*which)

    def _grow(self) -> Fault:
        before = self._cluster.partitions(TOPIC)
        self._cluster.grow(TOPIC, before + _GROWN_BY)
        see(
            lambda: any(
                line["event"] == "start" and line.get("partition", 0) >= before
                for child in self._fleet.servers
                for line in _history(self._folder, child)
            ),
            f"nothing came by a partition of {TOPIC} beyond the {before}",
            _SEEN_WITHIN,
        )
        yield

    def _flood(self) -> Fault:
        flood = ready(self._fleet.flood(_FLOOD, len(self._fleet.servers)))
        see(
            lambda: any(
                line.get("code") == "RESOURCE_EXHAUSTED" for line in _history(self._folder, flood)
            ),
            "no server refused anything for want of room",
            20.0,
        )
        yield
        ended_in_order([flood])

    def _set_clock(self, step: Step, children: list[Child]) -> tuple[Fault, dict[str, Any]]:
        running = [child for child in children if child.running]  # one may just have been killed
        child = running[step.target % len(running)]
        there, back = (FORWARD, BACK) if step.target % 2 else (BACK, FORWARD)
        hours = 1 if there is FORWARD else -1

        def run() -> Fault:
            before = self._skew(child)
            child.signal(there)
            self._see_skew(child, before + hours * HOUR)
            yield
            child.signal(back)
            self._see_skew(child, before)

        return run(), {"process": child.pid, "hours": hours}

    def _skew(self, child: Child) -> float:
        told = [line["skew"] for line in _history(self._folder, child) if line["event"] == "gauge"]
        return float(told[-1]) if told else 0.0

    def _see_skew(self, child: Child, wanted: float) -> None:
        what = f"the clock of pid {child.pid} was not set"
        see(lambda: self._skew(child) == wanted, what)


def _history(folder: Path, child: Child) -> list[dict[str, Any]]:
    """Return the last lines of the history that `child` writes."""
    role = child.module.rpartition(".")[2]
    path = folder / f"{role}-{child.number}-{child.pid}.jsonl"
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END))
        lines = file.read().split(b"\n")[1:-1]  # the first may have been cut, the last not be done
    return [json.loads(line) for line in lines]
