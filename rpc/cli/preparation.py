"""Shows how a broker is being prepared: a bar on a terminal, a line for each step elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

from transports.kafka.broker import OnProgress, Progress

__all__ = ["preparation"]


@contextmanager
def preparation(console: Console) -> Iterator[OnProgress]:
    """Show progress on `console` inside the `with` statement."""
    if console.is_terminal and not console.quiet:
        with _bar(console) as show:
            yield show
    else:
        yield _lines(console)


@contextmanager
def _bar(console: Console) -> Iterator[OnProgress]:
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn()
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("Starting", total=None)

        def show(now: Progress) -> None:
            bar.update(task, description=now.step, completed=now.done, total=now.total or None)

        yield show


def _lines(console: Console) -> OnProgress:
    shown = set[str]()

    def show(now: Progress) -> None:
        if now.step not in shown:
            shown.add(now.step)
            console.print(now.step, markup=False, highlight=False)

    return show
