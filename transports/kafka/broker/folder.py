"""The folder that a broker keeps its records in, from one start to the next."""

import os
import shutil
import tempfile
import weakref
from pathlib import Path

from transports.kafka.broker.errors import BrokerError
from transports.kafka.broker.lock import KAFKA_VERSION

__all__ = ["TemporaryFolder", "open_folder", "temporary_folder"]

_VERSION = "kafka.version"


def open_folder(folder: Path) -> Path:
    """Return `folder`, made ready to hold a broker's records and found to hold no one else's.

    Raises BrokerError when it holds something else, or records of another Kafka version, or cannot
    be written.
    """
    try:
        return _opened(folder.absolute())
    except OSError as error:
        raise BrokerError(
            f"The data folder {folder} cannot be used ({error.strerror}): "
            "choose another, or correct its rights"
        ) from error


class TemporaryFolder:
    """A folder that `cleanup` removes, or the end of the process that made it.

    Not of a child that it forked, as a `TemporaryDirectory` is: the broker is the parent's.
    """

    def __init__(self) -> None:
        """Make it. Raises `OSError`."""
        self.name = tempfile.mkdtemp(prefix="rpc-broker-")
        self.cleanup = weakref.finalize(self, _remove, self.name, os.getpid())
        """Remove it; again: nothing."""


def _remove(name: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(name, ignore_errors=True)


def temporary_folder() -> TemporaryFolder:
    """Make a folder that its `cleanup` removes; raises BrokerError."""
    try:
        return TemporaryFolder()
    except OSError as error:
        raise BrokerError(
            f"No temporary folder can be made ({error.strerror}): "
            "name one that can be written in TMPDIR, or give a data folder"
        ) from error


def _opened(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / _VERSION
    if not marker.exists():
        if any(folder.iterdir()):
            raise BrokerError(
                f"The data folder {folder} holds files that are not a broker's: "
                "choose an empty one, or one that does not exist yet"
            )
        marker.write_text(f"{KAFKA_VERSION}\n", "ascii")
    written_by = marker.read_text("ascii", "replace").strip()
    if written_by != KAFKA_VERSION:
        raise BrokerError(
            f"The data folder {folder} holds records of Kafka {written_by}, and this is Kafka "
            f"{KAFKA_VERSION}: choose another folder, or remove this one if it is not needed"
        )
    return folder
