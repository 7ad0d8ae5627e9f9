"""What there is to read of a run: verdict, faults, outcomes, latencies and slopes, as Markdown."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from chaos.checker import Verdict
from chaos.history import read_history
from chaos.run import Plan

__all__ = ["Failed", "failed_calls", "report"]

_GAUGES = ("rss", "threads", "fds", "pending")


def report(plan: Plan, folder: Path, verdict: Verdict) -> str:
    """Return the page on the run that left its files in `folder`."""
    faults, slopes, latencies = _read(folder)
    lines = [f"# Chaos: {'passed' if verdict.passed else 'FAILED'}", "", f"    {plan.command}", ""]
    lines += ["| outcome | calls |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in sorted(verdict.outcomes.items())]
    lines += ["", "| fault | times |", "|---|---|"]
    lines += [f"| {name} | {count} |" for name, count in sorted(faults.items())]
    lines += ["", "| method | calls | p50 ms | p99 ms | slowest ms |", "|---|---|---|---|---|"]
    for method, times in sorted(latencies.items()):
        times.sort()
        p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
        figures = " | ".join(f"{value * 1000:.1f}" for value in (p50, p99, times[-1]))
        lines.append(f"| {method} | {len(times)} | {figures} |")
    lines += ["", "Growth in the last third of each process that lived long enough, per hour:", ""]
    lines += ["| process | " + " | ".join(_GAUGES) + " |", "|---|" + "---|" * len(_GAUGES)]
    for process, grown in sorted(slopes.items()):
        lines.append(f"| {process} | " + " | ".join(grown.get(g, "") for g in _GAUGES) + " |")
    lines += ["", "```", str(verdict), "```", ""]
    return "\n".join(lines)


class Failed(NamedTuple):
    """Calls that ended alike."""

    calls: int
    first: float
    """Seconds after the first fault at which the first of them began."""
    last: float
    """Likewise the last."""
    message: str
    """What the first was told."""

    def __str__(self) -> str:
        when = f"begun {self.first:.1f} to {self.last:.1f} s after the first fault"
        return f"{self.calls} calls, {when}; the first: {self.message}"


def failed_calls(folder: Path, methods: Collection[str]) -> dict[str, Failed]:
    """Return which calls of `methods` ended otherwise than well, by method and code.

    A call that its client did not live to see the end of is no failure.
    """
    faults = [
        float(str(event["at"]))
        for path in folder.glob("nemesis-*.jsonl")
        for event in read_history(path)
        if event["event"] == "fault"
    ]
    began = min(faults, default=0.0)
    ended: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for path in sorted(folder.glob("client-*.jsonl")):
        invoked: dict[object, tuple[str, float]] = {}
        for event in read_history(path):
            if event["event"] == "invoke" and event["method"] in methods:
                invoked[event["call"]] = str(event["method"]), float(str(event["at"])) - began
            elif event["event"] == "end" and event["call"] in invoked and event["outcome"] != "ok":
                method, at = invoked[event["call"]]
                how = f"{method}: {event['code']} {event['certainty']}"
                ended[how].append((at, str(event["message"])))
    return {
        how: Failed(len(calls), min(calls)[0], max(calls)[0], min(calls)[1])
        for how, calls in ended.items()
    }


def _read(folder: Path) -> tuple[Counter[str], dict[str, dict[str, str]], dict[str, list[float]]]:
    faults: Counter[str] = Counter()
    slopes: dict[str, dict[str, str]] = {}
    latencies: dict[str, list[float]] = defaultdict(list)
    for path in sorted(folder.glob("*.jsonl")):
        gauges: list[dict[str, float]] = []
        invoked: dict[object, tuple[float, str]] = {}
        for event in read_history(path):
            name, at = event["event"], float(str(event["at"]))
            if name == "gauge":
                gauges.append(json.loads(json.dumps(event)))
            elif name == "fault" and event["phase"] == "on":
                faults[str(event["name"])] += 1
            elif name == "invoke":
                invoked[event["call"]] = at, str(event["method"])
            elif name == "end" and event["outcome"] == "ok":
                began, method = invoked[event["call"]]
                latencies[method].append(at - began)
        last = gauges[-(len(gauges) // 3) :]
        if len(last) >= 30:
            slopes[path.stem] = {gauge: _per_hour(last, gauge) for gauge in _GAUGES}
    return faults, slopes, latencies


def _per_hour(readings: list[dict[str, float]], gauge: str) -> str:
    """Return the slope of the line of least squares through `readings`."""
    xs = [reading["at"] for reading in readings]
    ys = [reading.get(gauge, 0.0) for reading in readings]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - x_mean) ** 2 for x in xs) or 1.0
    slope = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / spread * 3600
    return f"{slope / (1 << 20):+.1f} MiB" if gauge == "rss" else f"{slope:+.1f}"
