"""`python -m benchmarks.idle`: the share of a core that a client and a server use without calls.

    python -m benchmarks.idle [--seconds 20] [--only NAME ...]

Each has made and answered calls before, so that it is connected and has joined its group.
"""

import time
from contextlib import ExitStack

import click
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import CONTENDERS, Point, begin
from transports.kafka.broker import Broker

_SETTLED = 3.0  # seconds after the last call: its offsets are committed
_BAR = 0.02


def idle(pairs, seconds):
    """Return by contender and side the share of a core that each uses while nothing is asked."""
    processes = {
        (name, side): getattr(pair, side)
        for name, pair in pairs.items()
        for side in ("client", "server")
    }
    time.sleep(_SETTLED)
    before = {key: process.cpu() for key, process in processes.items()}
    time.sleep(seconds)
    return {key: (process.cpu() - before[key]) / seconds for key, process in processes.items()}


@click.command(help=__doc__)
@click.option("--seconds", default=20.0, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(CONTENDERS)), help="default: ours")
@click.option("--bootstrap", envvar="BOOTSTRAP", help="a broker that runs; default: one of our own")
def main(*, seconds, only, bootstrap):
    console = Console()
    ours = [name for name, contender in CONTENDERS.items() if contender.layer == "rpc"]
    shown = Table(title=f"processor time while idle, over {seconds:g} s")
    for name in ("", "client", "server", ""):
        shown.add_column(name, justify="right" if name else "left")
    with ExitStack() as stack:
        if bootstrap is None:
            bootstrap = stack.enter_context(Broker(fast_start=False)).bootstrap
        pairs = begin(only or ours, bootstrap, stack, console)
        for name, pair in pairs.items():
            pair.run(Point(name, "future", 8, 100), 1.0)
        shares = idle(pairs, seconds)
    for name in pairs:
        both = [shares[name, side] for side in ("client", "server")]
        verdict = "pass" if max(both) < _BAR else "FAIL"
        shown.add_row(name, *(f"{share:.2%}" for share in both), verdict)
    console.print(shown)


if __name__ == "__main__":
    main()
