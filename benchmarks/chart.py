"""Figures as pictures."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no window is wanted, and there may be no screen
import matplotlib.pyplot as plt

_FIGURES = (
    ("rps", "calls per second"),
    ("p50_ms", "p50, ms"),
    ("p99_ms", "p99, ms"),
)


def series(rows, x, payload=None, inflight=None):
    """Return by contender the rows of its first style, ordered by `x`."""
    found = {}
    for row in rows:
        if row["style"] == "threads" or (row["layer"] == "rpc" and row["style"] == "aio"):
            continue
        if payload in {None, row["payload"]} and inflight in {None, row["inflight"]}:
            found.setdefault(row["name"], []).append(row)
    return {name: sorted(its, key=lambda row: row[x]) for name, its in found.items()}


def draw(lines, x, title, out, figures=_FIGURES):
    """Draw `figures` over `x`, a line for each of `lines`, into an SVG file."""
    figure, axes = plt.subplots(1, len(figures), figsize=(6 * len(figures), 5), squeeze=False)
    for axis, (key, label) in zip(axes[0], figures, strict=True):
        for name, rows in lines.items():
            ours = rows[0].get("layer", "rpc") == "rpc"
            style = {"linewidth": 2.5 if ours else 1.2, "linestyle": "-" if ours else "--"}
            axis.plot([r[x] for r in rows], [r[key] for r in rows], "o", label=name, **style)
        axis.set_xscale("log")
        axis.set_yscale("log")
        _mark(axis, {row[x] for rows in lines.values() for row in rows})
        axis.set_xlabel({"inflight": "in flight", "payload": "bytes"}.get(x, x))
        axis.set_title(label)
        axis.grid(visible=True, which="both", alpha=0.2)
    axes[0][0].legend(fontsize=8)
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    plt.close(figure)


def _mark(axis, values):
    """Mark the values that were measured, and no others."""
    axis.set_xticks(sorted(values), [f"{value:,}" for value in sorted(values)])
    axis.minorticks_off()


def draw_sweeps(rows, out):
    """Draw throughput and p99 over each thing that was varied, side by side, into an SVG file."""
    sweeps = {}
    for row in rows:
        sweeps.setdefault(row["sweep"], []).append(row)
    figure, axes = plt.subplots(2, max(1, len(sweeps)), figsize=(4 * len(sweeps), 7), squeeze=False)
    for column, (sweep, its) in enumerate(sweeps.items()):
        for axis, key, label in zip(
            axes[:, column], ("rps", "p99_ms"), ("calls per second", "p99, ms"), strict=True
        ):
            axis.plot([row["value"] for row in its], [row[key] for row in its], "o-")
            axis.set_xscale("log")
            _mark(axis, {row["value"] for row in its})
            axis.set_ylim(bottom=0)
            axis.set_xlabel(sweep)
            axis.set_ylabel(label)
            axis.grid(visible=True, which="both", alpha=0.2)
    figure.tight_layout()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)
    plt.close(figure)
