"""`make cost`: the framework's own processor time per call, on each side, without any broker.

    python -m benchmarks.cost [--inflight 512] [--rounds 9] [--only client.future] [--profile]

A null transport carries nothing: batches of calls are made, acknowledged and answered by hand, so
that only the framework's own work is counted, on its own threads. The same steps without the
framework, from prepared messages to a callback per reply, are measured in the same rounds and
taken off. `client` is from the stub to the result; `server` from the delivery to the reply handed
to `send` and the acknowledgement of both.

Processor time of the process, medians of interleaved rounds. `--profile` shows where it goes.
"""

import cProfile
import json
import pstats
import statistics
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import click

from benchmarks import report
from benchmarks.sides import SIDES

_BAR = 20.0


def threads_cpu():
    """Return the processor time of each living thread, by name."""
    found = {}
    for thread in threading.enumerate():
        clock = time.pthread_getcpuclockid(thread.ident)
        name = thread.name.rstrip("0123456789")
        found[name] = found.get(name, 0.0) + time.clock_gettime(clock)
    return found


def measure(side, batches):
    """Return microseconds of processor time per call, in all and by thread."""
    spent, by_thread = 0.0, {}
    for _ in range(batches):
        side.prepare()
        threads, before = threads_cpu(), time.process_time()
        side.batch()
        spent += time.process_time() - before
        for name, used in threads_cpu().items():
            by_thread[name] = by_thread.get(name, 0.0) + used - threads.get(name, 0.0)
    calls = batches * side.inflight
    return spent / calls * 1e6, {name: used / calls * 1e6 for name, used in by_thread.items()}


def compare(inflight, payload, rounds, batches, only):
    """Return for each side its cost, that of the same steps without us, and ours by thread."""
    with ExitStack() as stack:
        pairs = {}
        for name, makers in SIDES.items():
            if not only or name in only:
                pairs[name] = [make(payload, inflight) for make in makers]
                for side in pairs[name]:
                    stack.callback(side.close)
        runs = {name: [] for name in pairs}
        for round_ in range(rounds + 1):
            for name, (ours, bare) in pairs.items():
                run = (*measure(ours, batches), measure(bare, batches)[0])
                if round_:  # the first one warms up
                    runs[name].append(run)
        return {name: _medians(its) for name, its in runs.items()}


def _medians(runs):
    names = {name for _, threads, _ in runs for name in threads}
    ours = statistics.median(run[0] for run in runs)
    bare = statistics.median(run[2] for run in runs)
    net = statistics.median(run[0] - run[2] for run in runs)
    threads = {
        name: statistics.median(run[1].get(name, 0.0) for run in runs) for name in sorted(names)
    }
    return {"cost_us": net, "with_us": ours, "without_us": bare, "threads_us": threads}


def table(rows, inflight, *, markdown):
    """Return the costs as a table."""
    title = f"the framework's own processor time per call, {inflight} in flight"
    shown = report.new_table(title, markdown=markdown)
    for name in ("", "us per call", "with", "without", "bar", "by thread"):
        shown.add_column(name, justify="left" if name in {"", "by thread"} else "right")
    for name, row in rows.items():
        shown.add_row(
            name,
            f"{row['cost_us']:.1f}",
            f"{row['with_us']:.1f}",
            f"{row['without_us']:.1f}",
            "pass" if row["cost_us"] <= _BAR else "fail",
            ", ".join(f"{n} {us:.1f}" for n, us in row["threads_us"].items() if us >= 0.1),
        )
    return shown


def profile(inflight, payload, batches, only):
    """Print, for each side, the functions that take most of the time of all its threads."""
    for name, (make, _) in SIDES.items():
        if only and name not in only:
            continue
        profiles = []

        def begin(*_ignored, profiles=profiles):
            each = cProfile.Profile(time.thread_time)
            profiles.append(each)
            each.enable()

        threading.setprofile(begin)
        side = make(payload, inflight)
        begin()
        for _ in range(batches):
            side.prepare()
            side.batch()
        threading.setprofile(None)
        profiles[-1].disable()
        side.close()
        stats = pstats.Stats(profiles[-1])
        for each in profiles[:-1]:
            each.create_stats()
            stats.add(each)
        print(f"\n== {name}, {batches * inflight} calls")
        stats.strip_dirs().sort_stats("tottime").print_stats(35)


@click.command(help=__doc__)
@click.option("--inflight", default=512, show_default=True)
@click.option("--payload", default=100, show_default=True, help="bytes of argument and result")
@click.option("--rounds", default=9, show_default=True)
@click.option("--batches", default=8, show_default=True, help="in each round")
@click.option("--only", multiple=True, type=click.Choice(list(SIDES)), help="default: all")
@click.option("--profile", "profiled", is_flag=True, help="show the functions that cost most")
@click.option("--markdown", is_flag=True, help="print the tables as they stand in the docs")
@click.option("--out", default="build/cost.json", show_default=True, type=Path)
def main(*, inflight, payload, rounds, batches, only, profiled, markdown, out):
    if profiled:
        profile(inflight, payload, batches * rounds, only)
        return
    rows = compare(inflight, payload, rounds, batches, only)
    report.console(markdown=markdown).print(table(rows, inflight, markdown=markdown))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
