"""The version of kafka-python that this folder was written against."""

from kafka.version import __version__

from transports.errors import ConfigurationError

__all__ = ["check_version"]

_FROM, _BELOW = (3, 0, 12), (3, 1)


def check_version(version: str = __version__) -> None:
    """Raise `ConfigurationError` unless kafka-python is one whose private code is known here."""
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if not _FROM <= numbers < _BELOW:
        raise ConfigurationError(
            f"kafka-python {version} is installed; the Kafka transport needs >=3.0.12,<3.1: "
            "pip install 'kafka-python[crc32c]>=3.0.12,<3.1'"
        )
