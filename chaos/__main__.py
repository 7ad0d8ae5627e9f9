"""`make chaos`: break a real Kafka, servers and clients by a seed, and check every promise."""

import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from chaos.checker import check_run
from chaos.fleet import RunFailed
from chaos.report import failed_calls, report
from chaos.run import Plan, execute
from chaos.schedule import kinds

MEMORY = Path("/dev/shm")


@click.command(help=__doc__)
@click.option("--brokers", type=click.IntRange(1, 3), default=3, show_default=True)
@click.option("--minutes", type=float, default=5.0, show_default=True, help="of faults")
@click.option("--rate", type=float, default=300.0, show_default=True, help="calls a second")
@click.option("--seed", type=int, help="of the schedule; by default another each time")
@click.option("--servers", default=3, show_default=True)
@click.option("--clients", default=3, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(sorted(kinds(3))), help="these faults")
@click.option("--must-succeed", multiple=True, help="a method of which no call may fail")
@click.option("--skew", default=0.0, help="seconds: clients' clocks ahead, servers' behind")
@click.option("--setting", multiple=True, help="of the transport, as frames=false")
@click.option("--out", type=click.Path(path_type=Path), help="folder for what the run leaves")
def main(  # noqa: PLR0917 - click passes them by name
    brokers: int,
    minutes: float,
    rate: float,
    seed: int | None,
    servers: int,
    clients: int,
    only: tuple[str, ...],
    must_succeed: tuple[str, ...],
    skew: float,
    setting: tuple[str, ...],
    out: Path | None,
) -> None:
    """Run, check, tell; exit with 1 where a promise was broken, with 2 where the run failed."""
    console = Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # children are ended
    seed = int(time.time()) % 1_000_000 if seed is None else seed
    plan = Plan(
        brokers=brokers,
        seconds=minutes * 60,
        rate=rate,
        seed=seed,
        servers=servers,
        clients=clients,
        only=only,
        must_succeed=must_succeed,
        skew=skew,
        settings=setting,
    )
    keep = out or Path("build") / f"chaos-{brokers}-{seed}"
    console.print(f"seed {seed}: {plan.command}", soft_wrap=True)
    folder = _in_memory(keep.name)
    try:
        execute(plan, folder, console.print)
    except RunFailed as failure:
        console.print(f"the run failed: {failure}\nits files: {keep}\nagain: {plan.command}")
        sys.exit(2)
    finally:
        _move(folder, keep)
    verdict = check_run(keep)
    page = keep.with_name(f"{keep.name}.md")
    page.write_text(report(plan, keep, verdict), "utf-8")
    console.print(str(verdict), markup=False, highlight=False, soft_wrap=True)
    failed = failed_calls(keep, must_succeed) if must_succeed else {}
    for how, calls in failed.items():
        console.print(f"FAILED: {how}: {calls}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"report: {page}\nagain: {plan.command}", soft_wrap=True)
    sys.exit(bool(failed) or not verdict.passed)


def _in_memory(name: str) -> Path:
    """Return a folder for witnesses where no write waits for a disk.

    Brokers that start again keep a disk busy for seconds, in which a process that writes what it
    does would stand still.
    """
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=MEMORY if MEMORY.is_dir() else None))


def _move(folder: Path, to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, to)


if __name__ == "__main__":
    main()
