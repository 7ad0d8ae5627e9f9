"""Loggers for a library: silent until the application configures logging, then structured.

Unconfigured structlog prints every event to stdout; a library may not do that. So events go to
structlog when the application has configured it, and to the standard `logging` otherwise.
"""

import logging
import sys
from typing import Protocol

__all__ = ["Logger", "get_logger"]


class Logger(Protocol):
    """What a module logs with: an event name and fields, never a payload or a secret."""

    def debug(self, event: str, **fields: object) -> object: ...
    def info(self, event: str, **fields: object) -> object: ...
    def warning(self, event: str, **fields: object) -> object: ...
    def error(self, event: str, **fields: object) -> object: ...
    def exception(self, event: str, **fields: object) -> object: ...


def get_logger(name: str) -> Logger:
    """Return a logger that decides at each event where it goes.

    Any thread. Configuring structlog or `logging` later than this call takes effect.
    """
    return _Lazy(name)


class _Lazy:
    """Looks at each event whether structlog has been configured by now.

    structlog is imported by the first event that is written: it costs as much start-up time as all
    of this library, and a process that has not imported it has not configured it.
    """

    __slots__ = ("_name", "_standard", "_wrapped")

    def __init__(self, name: str) -> None:
        self._name = name
        self._standard = logging.getLogger(name)
        self._standard.addHandler(logging.NullHandler())
        self._wrapped: Logger | None = None

    def debug(self, event: str, **fields: object) -> object:
        log = self._log(logging.DEBUG)
        return log and log.debug(event, **fields)

    def info(self, event: str, **fields: object) -> object:
        log = self._log(logging.INFO)
        return log and log.info(event, **fields)

    def warning(self, event: str, **fields: object) -> object:
        log = self._log(logging.WARNING)
        return log and log.warning(event, **fields)

    def error(self, event: str, **fields: object) -> object:
        log = self._log(logging.ERROR)
        return log and log.error(event, **fields)

    def exception(self, event: str, **fields: object) -> object:
        log = self._log(logging.ERROR)
        return log and log.exception(event, **fields)  # noqa: LOG004 - the caller is in one

    def _log(self, level: int) -> "Logger | None":
        structlog = sys.modules.get("structlog")
        if structlog is not None and structlog.is_configured():
            chosen: Logger = structlog.get_logger(self._name)
            return chosen
        if not self._standard.isEnabledFor(level):
            return None
        if self._wrapped is None:
            self._wrapped = _wrap(self._standard)
        return self._wrapped


def _wrap(standard: logging.Logger) -> Logger:
    import structlog  # noqa: PLC0415 - see `_Lazy`

    wrapped: Logger = structlog.wrap_logger(
        standard,
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["event"]),
        ],
    )
    return wrapped
