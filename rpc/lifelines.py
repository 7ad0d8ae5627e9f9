"""Whether a process that left its name somewhere still lives, on one host.

Each holds a lock on a file of its own, which the system takes from it when it dies, however it
dies. So nobody needs to wait until a dead process's time has run out.
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path

__all__ = ["Lifelines"]


class Lifelines:
    """The files of life in one folder, and ours among them. Any thread."""

    def __init__(self, folder: Path) -> None:
        """Make the folder and our file where they are missing, and hold the lock.

        Raises `ImportError` on Windows, which has no such locks.
        """
        import fcntl  # noqa: PLC0415 - absent on Windows

        self._flock, self._exclusive = fcntl.flock, fcntl.LOCK_EX
        self._at_once = fcntl.LOCK_EX | fcntl.LOCK_NB
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.name = secrets.token_hex(8)
        """What we are called."""
        self._ours = os.open(folder / self.name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._flock(self._ours, self._exclusive)

    def holds(self, name: str) -> bool:
        """Tell whether who is called so still lives; the file of a dead one is removed.

        Where nobody can tell, it lives.
        """
        path = self._folder / name
        if name == self.name:
            return True
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # it may be another user's
        except FileNotFoundError:  # gone with its owner
            return False
        except OSError:  # whoever lives on by mistake loses its work when the lease ends
            return True
        try:
            self._flock(descriptor, self._at_once)
        except BlockingIOError:
            return True
        else:
            with suppress(OSError):  # gone meanwhile, or not ours to remove
                path.unlink()
            return False
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Give our lock back."""
        with suppress(FileNotFoundError):
            (self._folder / self.name).unlink()
        os.close(self._ours)
