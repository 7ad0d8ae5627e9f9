"""Connecting to brokers: the settings all clients share, and failures told with their cause."""

import logging
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from transports.errors import ConfigurationError
from transports.kafka.config import KafkaConfig
from transports.kafka.settings import Scope
from transports.log import get_logger

if TYPE_CHECKING:
    from transports.kafka.driver.client import Client

__all__ = ["check_files", "connect", "driver_settings"]

_log = get_logger(__name__)
_NOISY = "kafka.cluster"
"""The logger that says ten times a second that a topic is not there; we say it once."""
_WORDY = (
    "kafka.net.connection",
    "kafka.producer.sender",
    "kafka.protocol.parser",
)
"""Loggers that print requests and replies, and so every key and value, at DEBUG."""

_FRAME = 100_000_000


def driver_settings(config: KafkaConfig, *scopes: Scope) -> dict[str, object]:
    """Return kafka-python's settings for a client of `scopes`: ours, then the user's."""
    request_timeout = min(config.request_timeout, config.delivery_timeout)
    return {
        "bootstrap_servers": list(config.bootstrap),
        "client_id": config.client_id,
        "request_timeout_ms": int(request_timeout * 1000),
        "metadata_max_age_ms": int(config.metadata_max_age * 1000),
        "retry_backoff_ms": 20,
        "reconnect_backoff_ms": 20,
        "reconnect_backoff_max_ms": 1000,
        "socket_connection_setup_timeout_ms": int(config.connect_timeout * 1000),
        "connections_max_idle_ms": 540_000,
        "metrics_enabled": False,
        **config.settings("every", *scopes),
    }


def connect(
    config: KafkaConfig,
    settings: dict[str, object],
    *,
    timeout: float | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> "Client":
    """Return a connected client; see `open_client`. Raises a `TransportError` with the cause.

    Gives up a moment after `cancelled` tells that nobody waits for it any more.
    """
    # kafka-python takes 50 ms to import: nobody waits for it before a transport is used
    from transports.kafka.driver.client import open_client  # noqa: PLC0415
    from transports.kafka.driver.version import check_version  # noqa: PLC0415
    from transports.kafka.errors import connecting  # noqa: PLC0415

    check_version()
    check_files(settings)
    _check_packages(settings)
    _hush()
    settings = {**settings, "receive_message_max_bytes": _largest_frame(settings)}
    wait = config.connect_timeout if timeout is None else min(timeout, config.connect_timeout)
    try:
        return open_client(settings, timeout=wait, cancelled=cancelled)
    except Exception as error:
        raise connecting(error, config.bootstrap) from error


def _largest_frame(settings: dict[str, object]) -> int:
    """Return how large an answer of a broker may be; a larger one breaks the connection.

    Left alone a connection takes 1 MB, less than one fetch brings: whoever has a backlog would read
    nothing for ever. What KafkaConsumer does about it is done here, where there is none.
    """
    told, fetched, of_one = (
        value if isinstance(value := settings.get(name), int) else 0
        for name in ("receive_message_max_bytes", "fetch_max_bytes", "max_partition_fetch_bytes")
    )
    return max(told or _FRAME, fetched + of_one)


def check_files(settings: Mapping[str, object]) -> None:
    """Raise `ConfigurationError` for a file that can't be read, which a handshake tells badly."""
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile"):
        path = settings.get(name)
        if path is not None:
            try:
                Path(str(path)).open("rb").close()
            except OSError as error:
                raise ConfigurationError(f"{name} can't be read: {error}") from error


def _check_packages(settings: dict[str, object]) -> None:
    """Raise `ConfigurationError` where a package is missing; log where that only costs time."""
    if settings.get("sasl_mechanism") == "AWS_MSK_IAM" and find_spec("botocore") is None:
        raise ConfigurationError("sasl_mechanism=AWS_MSK_IAM needs botocore: pip install botocore")
    if find_spec("crc32c") is None:
        _log.warning("kafka.slow_checksums", install="crc32c")


def _hush() -> None:
    """Keep payloads out of debug logs, and repetitions out of all. Again: nothing."""
    for name in _WORDY:
        logging.getLogger(name).addFilter(_not_debug)
    logging.getLogger(_NOISY).addFilter(_not_repeated)


def _not_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


def _not_repeated(record: logging.LogRecord) -> bool:
    return "not found in cluster metadata" not in str(record.msg)
