"""Replies kept in one SQLite file, which several processes of one host share and a restart keeps.

The file may be the application's own database: then a handler writes its effect and the reply in
one transaction (`CallContext.complete_in`). A process that died holds nothing up: its leases are
taken over at once, since the lock on its file of life went with it (`rpc.lifelines`).

Owner: `_connection` is used under `_lock`.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from contracts import Code, RpcError
from rpc.idempotency import Begun, Found, Mismatch, Running, StoredReply, Work
from rpc.lifelines import Lifelines

__all__ = ["LeaseLost", "SqliteStore"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rpc_work (
    method TEXT NOT NULL, name BLOB NOT NULL, fingerprint BLOB NOT NULL,
    fence INTEGER NOT NULL, owner TEXT NOT NULL, expires REAL NOT NULL,
    done INTEGER NOT NULL DEFAULT 0, code TEXT, content_type TEXT, body BLOB,
    PRIMARY KEY (method, name)
);
CREATE INDEX IF NOT EXISTS rpc_work_expires ON rpc_work (expires);
"""
_FIND = """
SELECT fingerprint, fence, owner, expires, done, code, content_type, body
FROM rpc_work WHERE method = ? AND name = ?
"""
_TAKE = """
INSERT INTO rpc_work (method, name, fingerprint, fence, owner, expires) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (method, name) DO UPDATE SET
    fingerprint = excluded.fingerprint, fence = excluded.fence, owner = excluded.owner,
    expires = excluded.expires, done = 0, code = NULL, content_type = NULL, body = NULL
"""
_FINISH = """
UPDATE rpc_work SET done = 1, code = ?, content_type = ?, body = ?, expires = ?
WHERE method = ? AND name = ? AND fence = ? AND done = 0
"""
_ABANDON = """
UPDATE rpc_work SET expires = ?, owner = ''
WHERE method = ? AND name = ? AND fence = ? AND done = 0
"""
_PURGE = """
DELETE FROM rpc_work WHERE rowid IN (
    SELECT rowid FROM rpc_work WHERE expires < ? AND (done OR expires < ?) LIMIT 100
)
"""
_PURGE_EVERY = 100  # calls of `begin`
_LOOK_AGAIN = 0.01


class LeaseLost(RpcError, code=Code.ABORTED):
    """Another server has taken the work over: what was done here must not be committed."""


class SqliteStore:
    """Replies kept in `path` for `window` seconds after they were made.

    The wall clock of the host counts, as the file outlives processes. Any thread; `close` it. A
    forked child makes another: this one refuses its calls, and is closed by the parent alone.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        window: float = 86_400.0,
        wait: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the file, creating it and its table `rpc_work` where they are missing.

        `wait` is how many seconds a call waits for other writers before it raises
        `sqlite3.OperationalError`.
        """
        self._window = window
        self._clock = clock
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._begun = 0
        self._connection = sqlite3.connect(
            path, timeout=wait, isolation_level=None, check_same_thread=False
        )
        _log_ahead(self._connection, wait)
        self._connection.execute("PRAGMA synchronous = FULL")  # kept before it is told
        self._connection.executescript(_SCHEMA)
        # One folder for one database, whatever it is called, and wherever we go from here.
        self._lifelines = Lifelines(Path(f"{Path(path).resolve()}-servers"))

    @property
    def blocking(self) -> bool:
        """Whether its calls may wait: for the disk, and for other processes."""
        return True

    def begin(self, work: Work, fingerprint: bytes, lease: float) -> Found:
        """Take `work` for `lease` seconds, or tell who has it or what came of it."""
        now = self._clock()
        with self._transaction() as connection:
            self._begun += 1
            if self._begun % _PURGE_EVERY == 1:
                connection.execute(_PURGE, (now, now - self._window))
            row = connection.execute(_FIND, work).fetchone()
            fence = 1
            if row is not None:
                known, before, owner, expires, done, *kept = row
                if not (done and expires <= now):
                    if known != fingerprint:
                        return Mismatch()
                    if done:
                        return StoredReply(*kept)
                    # Who abandons it leaves no owner; that may be after `now`, as we waited for it.
                    if owner and expires > now and self._lifelines.holds(owner):
                        return Running()
                fence = before + 1
            mine = (*work, fingerprint, fence, self._lifelines.name, now + lease)
            connection.execute(_TAKE, mine)
        return Begun(fence)

    def finish(self, work: Work, fence: int, reply: StoredReply) -> StoredReply | None:
        """Keep `reply`; return the one that is kept. Durable when this returns."""
        with self._transaction() as connection:
            if self._keep(connection, work, fence, reply):
                return reply
            return _kept(connection, work, fence)

    def abandon(self, work: Work, fence: int) -> StoredReply | None:
        """Let whoever asks next do the work; return the reply that `complete` kept, if any.

        The row stays for the window, so that no later fence is the one of a straggler.
        """
        with self._transaction() as connection:
            connection.execute(_ABANDON, (self._clock(), *work, fence))
            return _kept(connection, work, fence)

    def complete(self, connection: object, work: Work, fence: int, reply: StoredReply) -> None:
        """Keep `reply` in the open transaction of `connection`, to the same database.

        Raises `LeaseLost` where another server has taken the work over.
        """
        self._refuse_in_child()
        if not isinstance(connection, sqlite3.Connection):
            raise TypeError(f"a connection of sqlite3 is needed, not {type(connection).__name__}")
        if not self._keep(connection, work, fence, reply):
            raise LeaseLost(message=f"{work[0]}: another server has taken this work over")

    def close(self) -> None:
        """Close the file; in a child process do nothing: the parent lives by it."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._connection.close()
        self._lifelines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _keep(
        self, connection: sqlite3.Connection, work: Work, fence: int, reply: StoredReply
    ) -> bool:
        values = (*reply, self._clock() + self._window, *work, fence)
        return connection.execute(_FINISH, values).rowcount == 1

    def _refuse_in_child(self) -> None:
        if os.getpid() != self._pid:
            raise RuntimeError("the store was made before a fork; make another in the child")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._refuse_in_child()  # a thread that is not there may hold the lock
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def _kept(connection: sqlite3.Connection, work: Work, fence: int) -> StoredReply | None:
    """Return the reply that was kept under `fence`, if any."""
    row = connection.execute(_FIND, work).fetchone()
    if row is None or row[1] != fence or not row[4]:
        return None
    return StoredReply(*row[5:])


def _log_ahead(connection: sqlite3.Connection, wait: float) -> None:
    """Have the file write ahead, which several processes may ask for as they begin.

    SQLite does not wait here for who is at it: it says at once that the file is locked.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_LOOK_AGAIN)
        else:
            return
