"""The ledger of effects: what handlers did to the world, written by themselves and not by us.

One SQLite file for all servers of a run, one transaction for each effect, so that what a handler
did before a kill -9 is there afterwards, and nothing that it did not do.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

__all__ = ["Effect", "Ledger", "read_effects"]

_TABLE = """
CREATE TABLE IF NOT EXISTS effects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    call TEXT NOT NULL, key TEXT, idem TEXT, server INTEGER NOT NULL, at REAL NOT NULL
)
"""
_WAIT = 30.0  # seconds for the other processes' transactions


class Effect(NamedTuple):
    """One thing that a handler did."""

    call: str
    key: str | None
    idem: str | None
    server: int
    """The process id of the server."""
    at: float
    seq: int


class Ledger:
    """Appends the effects of one process. Any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = sqlite3.connect(path, timeout=_WAIT, check_same_thread=False)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=OFF")  # processes die here, machines do not
        with self._file:
            self._file.execute(_TABLE)

    def append(
        self,
        call: str,
        *,
        key: str | None = None,
        idem: str | None = None,
        with_it: Callable[[sqlite3.Connection], object] | None = None,
    ) -> int:
        """Note one effect, durable when this returns; return its place among all.

        `with_it` does more in the same transaction; where it raises, nothing is noted.
        """
        row = (call, key, idem, os.getpid(), time.monotonic())
        with self._lock, self._file:
            cursor = self._file.execute(
                "INSERT INTO effects (call, key, idem, server, at) VALUES (?, ?, ?, ?, ?)", row
            )
            if with_it is not None:
                with_it(self._file)
            return cursor.lastrowid or 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_effects(path: Path) -> list[Effect]:
    """Return every effect, in the order in which they were made durable."""
    with closing(sqlite3.connect(path)) as file:
        file.execute(_TABLE)
        rows = file.execute("SELECT call, key, idem, server, at, seq FROM effects ORDER BY seq")
        return [Effect(*row) for row in rows]
