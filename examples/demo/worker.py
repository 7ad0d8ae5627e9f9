"""A server process, and what it logs.

Thread: `demo-log-<name>` reads the process's output. The events are touched under `_logged`.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

__all__ = ["Event", "Worker"]

_ROOT: Final = Path(__file__).resolve().parents[2]

Event = dict[str, object]
"""One line of a structured log."""


class Worker:
    """One server of the demo in a process of its own, which ends with the `with` block."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._logged = threading.Condition()
        self._events: list[Event] = []
        self._ended = False
        self._process = subprocess.Popen(  # noqa: S603 - our own module, by this interpreter
            [sys.executable, "-m", "examples.demo.server", name],
            cwd=_ROOT,
            env={**os.environ, "RPC_TRANSPORT": url},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the demo, which ends its processes itself
        )
        self._reader = threading.Thread(target=self._read, name=f"demo-log-{name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def event(
        self,
        name: str,
        *,
        timeout: float = 30.0,
        count: int = 1,
        where: Callable[[Event], bool] = bool,
        **fields: object,
    ) -> Event:
        """Wait until `count` such events are logged; return the last of them.

        Raises `RuntimeError` with the end of the log when the process ends before, or after
        `timeout` seconds.
        """
        wanted = {"event": name, **fields}

        def found() -> list[Event]:
            return [e for e in self._events if wanted.items() <= e.items() and where(e)]

        with self._logged:
            self._logged.wait_for(lambda: len(found()) >= count or self._ended, timeout)
            if len(found()) < count:
                raise RuntimeError(f"server {self.name} did not log {wanted}; {self._last()}")
            return found()[-1]

    def kill(self) -> None:
        """End the process at once, as a crash would: SIGKILL."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        """Ask the process to end, SIGTERM; return its exit code."""
        self._process.terminate()
        return self._process.wait(timeout=30.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self.kill()
        self._reader.join()

    def _read(self) -> None:
        output = self._process.stdout
        assert output is not None  # noqa: S101 - it is piped
        with output:
            for line in output:
                self._note(_parsed(line))
        with self._logged:
            self._ended = True
            self._logged.notify_all()

    def _note(self, event: Event) -> None:
        with self._logged:
            self._events.append(event)
            self._logged.notify_all()

    def _last(self) -> str:
        return "its last words: " + " | ".join(str(event) for event in self._events[-5:])


def _parsed(line: bytes) -> Event:
    try:
        return msgspec.json.decode(line, type=Event)
    except msgspec.DecodeError:  # a traceback, or a warning of the interpreter
        return {"event": line.decode("utf-8", "replace").rstrip()}
