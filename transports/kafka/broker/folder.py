"""The folder that a broker keeps its records in, from one start to the next."""

from pathlib import Path
from tempfile import TemporaryDirectory

from transports.kafka.broker.errors import BrokerError
from transports.kafka.broker.lock import KAFKA_VERSION

__all__ = ["open_folder", "temporary_folder"]

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


def temporary_folder() -> TemporaryDirectory[str]:
    """Make a folder that its `cleanup` removes; raises BrokerError."""
    try:
        return TemporaryDirectory(prefix="rpc-broker-", ignore_cleanup_errors=True)
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
