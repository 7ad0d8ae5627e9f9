"""What processes hold: bounded, and not growing (I13)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from chaos.checker.run import Event, Run
from chaos.checker.violation import Violation

__all__ = ["resources"]

_ENOUGH = 30
"""Readings in the last third of a run, below which nothing is said of growth."""


def resources(run: Run) -> Iterator[Violation]:
    """I13: no gauge exceeds its bound, and none grows in the last third of a process's life."""
    readings: dict[str, list[Event]] = defaultdict(list)
    for event in run.by_name["gauge"]:
        readings[event["process"]].append(event)
    for process, events in readings.items():
        for name, bound in run.expect.bounds.items():
            worst = max(events, key=lambda event: event.get(name) or 0)
            if (worst.get(name) or 0) > bound:
                what = f"{name} = {worst[name]}, over its bound of {bound:g}"
                yield Violation("I13", process, what, (worst,))
        last = events[-(len(events) // 3) :]
        if len(last) >= _ENOUGH:
            for name, most in run.expect.slopes.items():
                grown = _growth([(event["at"], event.get(name) or 0) for event in last])
                if grown > most:
                    what = f"{name} grew by {grown:g} in the last {len(last)} readings"
                    yield Violation("I13", process, what, (last[0], last[-1]))


def _growth(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much the line of least squares through `points` rises from end to end."""
    count = len(points)
    x_mean = sum(x for x, _ in points) / count
    y_mean = sum(y for _, y in points) / count
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    if spread == 0:
        return 0.0
    slope = sum((x - x_mean) * (y - y_mean) for x, y in points) / spread
    return slope * (points[-1][0] - points[0][0])
