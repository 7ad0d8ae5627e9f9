"""What the demo shows: titles, the lines of code that it runs, and what came of them."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.highlighter import ReprHighlighter
from rich.progress import BarColumn, DownloadColumn, TextColumn
from rich.progress import Progress as Bar
from rich.syntax import Syntax

from rpc import RpcError
from transports.kafka.broker import OnProgress, Progress

__all__ = ["Transcript"]

R = TypeVar("R")


class Transcript:
    """Prints to a terminal, or plainly to whatever stdout is."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)

    def title(self, text: str) -> None:
        """Begin a part."""
        self._console.print(f"\n[bold]{text}[/]")

    def say(self, text: str) -> None:
        """Tell what happened."""
        self._console.print(f"  [dim]{text}[/]")

    def code(self, text: str) -> None:
        """Show a line of code."""
        line = Syntax(text, "python", theme="ansi_dark", background_color="default").highlight(text)
        line.rstrip()
        self._console.print("  [green]>>>[/] ", line, sep="")

    def run(self, function: Callable[[], R]) -> R:
        """Show the one expression that `function` returns, run it, and show its value or error."""
        self.code(_expression(function))
        try:
            value = function()
        except RpcError as error:
            self.failed(error)
            raise
        self.value(value)
        return value

    def value(self, value: object) -> None:
        """Show a result."""
        self._console.print("  ", ReprHighlighter()(repr(value)), sep="")

    def failed(self, error: Exception) -> None:
        """Show an error as the last line of a traceback does."""
        self._console.print(f"  [red]{type(error).__name__}[/]: ", end="")
        self._console.print(str(error), markup=False)

    def end(self, seconds: float) -> None:
        """Say that all went as it should."""
        self._console.print(f"\n[bold green]All as promised[/], in {seconds:.1f} s.")

    @contextmanager
    def progress(self) -> Generator[OnProgress]:
        """Show a bar while a broker is prepared; only a terminal gets one."""
        columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn())
        silent = not self._console.is_terminal
        with Bar(*columns, console=self._console, transient=True, disable=silent) as bar:
            task = bar.add_task("starting", total=None)

            def on_progress(now: Progress) -> None:
                bar.update(task, description=now.step, completed=now.done, total=now.total or None)

            yield on_progress


def _expression(function: Callable[[], object]) -> str:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    returned = next(node for node in ast.walk(tree) if isinstance(node, ast.Return))
    assert returned.value is not None  # noqa: S101 - a scene returns what it shows
    return ast.unparse(returned.value)
