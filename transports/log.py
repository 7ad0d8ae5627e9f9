"""Loggers for a library: silent until the application configures logging, then structured.

Unconfigured structlog prints every event to stdout; a library may not do that. So events go to
structlog when the application has configured it, and to the standard `logging` otherwise.
"""

import logging
from typing import Protocol

import structlog

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
    """Looks at each event whether structlog has been configured by now."""

    __slots__ = ("_name", "_stdlib")

    def __init__(self, name: str) -> None:
        standard = logging.getLogger(name)
        standard.addHandler(logging.NullHandler())
        self._name = name
        self._stdlib: structlog.stdlib.BoundLogger = structlog.wrap_logger(
            standard,
            wrapper_class=structlog.stdlib.BoundLogger,
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.contextvars.merge_contextvars,
                structlog.processors.format_exc_info,
                structlog.processors.LogfmtRenderer(key_order=["event"]),
            ],
        )

    def _log(self) -> structlog.stdlib.BoundLogger:
        if structlog.is_configured():
            chosen: structlog.stdlib.BoundLogger = structlog.get_logger(self._name)
            return chosen
        return self._stdlib

    def debug(self, event: str, **fields: object) -> object:
        return self._log().debug(event, **fields)

    def info(self, event: str, **fields: object) -> object:
        return self._log().info(event, **fields)

    def warning(self, event: str, **fields: object) -> object:
        return self._log().warning(event, **fields)

    def error(self, event: str, **fields: object) -> object:
        return self._log().error(event, **fields)

    def exception(self, event: str, **fields: object) -> object:
        return self._log().exception(event, **fields)
