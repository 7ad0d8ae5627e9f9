"""What a process writes of itself: one line of JSON for each event, before and after each act.

A line is one `write` to a file opened for appending, so that what was written survives a kill -9
and lines of several threads never mix. Times are of CLOCK_MONOTONIC, which all processes of one
machine share.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Writer", "read_history"]


class Writer:
    """Appends the events of this process to `<folder>/<role>-<number>-<pid>.jsonl`. Any thread."""

    def __init__(self, folder: Path, role: str, number: int) -> None:
        self.path = folder / f"{role}-{number}-{os.getpid()}.jsonl"
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, event: str, **fields: object) -> None:
        """Append one event with the moment of this call; what is not JSON is written as text."""
        line = {"at": time.monotonic(), "event": event, **fields}
        os.write(self._file, json.dumps(line, default=str).encode() + b"\n")

    def close(self) -> None:
        """Close the file; nothing may be written after."""
        os.close(self._file)


def read_history(path: Path) -> Iterator[dict[str, object]]:
    """Yield the events of one file; a last line that a crash cut short is left out."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)
