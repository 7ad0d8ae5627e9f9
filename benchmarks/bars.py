"""The bars: what one run must show, as ratios of figures measured in it. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Bar(NamedTuple):
    """One ratio, what it is held to, and what it is held to by."""

    what: str
    ratio: float | None
    """None: one side of it was not measured."""
    least: float | None = None
    most: float | None = None

    @property
    def passed(self) -> bool | None:
        """Whether it is cleared; None where it was not measured."""
        if self.ratio is None:
            return None
        return self.ratio >= (self.least or 0.0) and self.ratio <= (self.most or float("inf"))


Row = Mapping[str, object]


class _Rows:
    """The figures of a run at 100 bytes, by contender, style and number in flight."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = {
            (row["name"], row["style"], row["inflight"]): row
            for row in rows
            if row["payload"] == 100
        }

    def of(self, figure: str, name: str, inflight: int, *styles: str) -> float | None:
        """Return the best of the styles: the most calls, or the least time."""
        found = [
            float(str(row[figure]))
            for style in styles or ("future",)
            if (row := self._rows.get((name, style, inflight))) is not None
        ]
        if not found:
            return None
        return max(found) if figure == "rps" else min(found)


def _over(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def bars(rows: Sequence[Row], idle: Mapping[tuple[str, str], float]) -> list[Bar]:
    """Return every bar, with what was measured; `idle` is the share of a core of each process."""
    get = _Rows(rows).of
    raw = {
        (name, n): get("rps", f"raw {name}", n)
        for name in ("kafka-python", "confluent")
        for n in (64, 512)
    }
    plain, framed, fast = "kafka-python", "kafka-python, frames", "confluent, frames"
    found = [
        Bar(
            f"1. kafka-python, one record a call: throughput / raw at {n}, .future or .aio",
            _over(get("rps", plain, n, "future", "aio"), raw[plain, n]),
            least,
        )
        for n, least in ((64, 0.8), (512, 0.75))
    ]
    found += [
        Bar(
            "1. the same by 64 blocking threads",
            _over(get("rps", plain, 64, "threads"), raw[plain, 64]),
            0.55,
        ),
        Bar(
            "1. p50 / raw at 1",
            _over(get("p50_ms", plain, 1), get("p50_ms", "raw kafka-python", 1)),
            most=1.15,
        ),
    ]
    found += [
        Bar(
            f"2. kafka-python with frames: throughput / raw at {n}",
            _over(get("rps", framed, n, "future", "aio"), raw[plain, n]),
            least,
        )
        for n, least in ((64, 1.2), (512, 2.0))
    ]
    quickest = min(
        filter(None, (get("p50_ms", name, 1) for name in ("confluent", fast))), default=None
    )
    found += [
        Bar(
            "3. confluent: p50 / raw confluent at 1",
            _over(quickest, get("p50_ms", "raw confluent", 1)),
            most=1.4,
        ),
        Bar(
            "3. confluent: p50 / Spring's at 1",
            _over(quickest, get("p50_ms", "Spring", 1)),
            most=1.0,
        ),
    ]
    found += [
        Bar(
            f"3. confluent with frames: throughput / raw confluent at {n}",
            _over(get("rps", fast, n, "future", "aio"), raw["confluent", n]),
            least,
        )
        for n, least in ((64, 0.6), (512, 0.5))
    ]
    for name in (framed, fast):
        for n in (64, 512):
            ours = get("rps", name, n, "future", "aio")
            grpc = [get("rps", peer, n, "future", "aio") for peer in ("gRPC", "gRPC aio")]
            best = max(filter(None, grpc), default=None)
            found.append(Bar(f"4. {name}: throughput / gRPC-Python at {n}", _over(ours, best), 3.0))
            spring = get("rps", "Spring", n)
            found.append(Bar(f"4. {name}: throughput / Spring at {n}", _over(ours, spring), 1.0))
    found += [
        Bar(
            f"5. {name}: .aio with 1000 in flight / .future with 512",
            _over(get("rps", name, 1000, "aio"), get("rps", name, 512)),
            0.8,
        )
        for name in (plain, framed, fast)
    ]
    found += [
        Bar(f"7. {name}: share of a core that an idle {side} uses", share, most=0.02)
        for (name, side), share in idle.items()
    ]
    return found
