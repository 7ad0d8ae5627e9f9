"""What a run of `make bench` tells: tables for the terminal and for the docs."""

from rich import box
from rich.console import Console
from rich.table import Table

_COLUMNS = (
    ("bytes", "payload", "{:,}"),
    ("in flight", "inflight", "{:,}"),
    ("calls/s", "rps", "{:,.0f}"),
    ("p50 ms", "p50_ms", "{:.2f}"),
    ("p99 ms", "p99_ms", "{:.1f}"),
    ("p99.9 ms", "p999_ms", "{:.1f}"),
    ("client us", "client_cpu_us", "{:.0f}"),
    ("server us", "server_cpu_us", "{:.0f}"),
)


def console(*, markdown):
    """Return where tables are printed: as wide as they are, where they are to be pasted."""
    return Console(width=400 if markdown else 150)


def new_table(title, *, markdown):
    """Return a table for the terminal, or one that is Markdown."""
    if markdown:
        return Table(box=box.MARKDOWN)
    return Table(title=title)


def _name(row):
    if row["layer"] != "rpc":
        return row["name"]
    style = "blocking threads" if row["style"] == "threads" else f"`.{row['style']}`"
    return f"parley on {row['name']}, {style}"


def beside_raw(rows):
    """Return for each row its throughput and p50 over those of the raw driver that it rests on."""
    raw = {
        (row["driver"], row["inflight"], row["payload"]): row
        for row in rows
        if row["layer"] == "raw"
    }
    for row in rows:
        base = raw.get((row["driver"], row["inflight"], row["payload"]))
        if base is None or row["layer"] == "peer":
            yield None, None
        else:
            yield (
                row["rps"] / base["rps"] if base["rps"] else None,
                row["p50_ms"] / base["p50_ms"] if base["p50_ms"] else None,
            )


def figures_table(rows, *, markdown=False):
    """Return all the figures, and what they are beside the raw driver's."""
    shown = new_table("calls, beside the raw driver in the same run", markdown=markdown)
    shown.add_column("", no_wrap=True)
    for title, _, _ in _COLUMNS:
        shown.add_column(title, justify="right")
    shown.add_column("calls / raw", justify="right")
    shown.add_column("p50 / raw", justify="right")
    for row, (calls, p50) in zip(rows, beside_raw(rows), strict=True):
        cells = [form.format(row[key]) for _, key, form in _COLUMNS]
        ratios = ["" if ratio is None else f"{ratio:.2f}" for ratio in (calls, p50)]
        name = _name(row)
        shown.add_row(name if markdown else name.replace("`", ""), *cells, *ratios)
    return shown


def bars_table(bars, *, markdown=False):
    """Return what the run was held to."""
    shown = new_table("the bars", markdown=markdown)
    shown.add_column("")
    for title in ("measured", "bar", ""):
        shown.add_column(title, justify="right")
    for bar in bars:
        held = f">= {bar.least:g}" if bar.most is None else f"<= {bar.most:g}"
        measured = "-" if bar.ratio is None else f"{bar.ratio:.{2 if bar.ratio >= 0.1 else 3}f}"
        verdict = {True: "pass", False: "FAIL", None: "not measured"}[bar.passed]
        shown.add_row(bar.what, measured, held, verdict)
    return shown
