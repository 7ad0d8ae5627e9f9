"""The user's cache, and the file lock that lets one process at a time fill it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transports.kafka.broker.errors import BrokerError

__all__ = ["cache_folder", "exclusive"]


def cache_folder() -> Path:
    """Return the folder of this user's cache, created when missing.

    `RPC_CACHE_DIR` names it; else it is `parley-rpc` under `XDG_CACHE_HOME` or the platform's own
    folder for caches. It may be removed at any time while no broker runs. Raises BrokerError when
    it cannot be written.
    """
    named = os.environ.get("RPC_CACHE_DIR")
    folder = Path(named) if named else _platform_caches() / "parley-rpc"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BrokerError(
            f"The cache folder {folder} cannot be created ({error.strerror}): "
            "name one that can be written in RPC_CACHE_DIR"
        ) from error
    return folder.resolve()


@contextmanager
def exclusive(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock file `path` against other processes; yields whether it is held.

    With `wait` it blocks until it is. The system lets go when the process ends, however it ends.
    Where the platform has no `flock` it yields True at once: what is guarded is written by atomic
    renames, so that two processes at once do double work and no harm.
    """
    try:
        import fcntl  # noqa: PLC0415 - absent on Windows
    except ImportError:
        yield True
        return
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _platform_caches() -> Path:
    xdg = os.environ.get("XDG_CACHE_HOME")
    if xdg:
        return Path(xdg)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path.home() / ".cache"
