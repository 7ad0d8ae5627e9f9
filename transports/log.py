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

    def debug(self, event: str, **fields: object) -> None:
        self._write("debug", logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._write("info", logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write("warning", logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._write("error", logging.ERROR, event, fields)

    def exception(self, event: str, **fields: object) -> None:
        self._write("exception", logging.ERROR, event, fields)

    def _write(self, method: str, level: int, event: str, fields: dict[str, object]) -> None:
        try:
            log = self._log(level)
            if log is not None:
                getattr(log, method)(event, **fields)
        except Exception:
            # A processor of the application's: it may not end the thread that has something to say.
            self._standard.exception("event %s could not be logged", event)

    def _log(self, level: int) -> "Logger | None":
        structlog = sys.modules.get("structlog")
        # Another thread may be in the middle of importing it: then it is not configured yet.
        is_configured = getattr(structlog, "is_configured", bool)
        if structlog is not None and is_configured():
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
