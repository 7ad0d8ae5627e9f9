"""One server of the demo: logs JSON lines to stdout, as a container's would.

python -m examples.demo.server NAME
"""

import logging
import sys
import time

import structlog

from examples.demo.contract import User, UserNotFound, Users
from rpc import method, serve

__all__ = ["UserTable", "main"]

_NAMES = {1: "Ada", 2: "Grace", 42: "Douglas"}


class UserTable(Users):
    """Users from a table."""

    def __init__(self, server: str) -> None:
        self._server = server

    @method
    def get(self, user_id: int) -> User:
        """Return the user with this id."""
        if user_id not in _NAMES:
            raise UserNotFound(user_id=user_id, message=f"there is no user {user_id}")
        return User(user_id, _NAMES[user_id])

    @method
    def rename(self, user_id: int, name: str) -> User:
        """Fail as code does that nobody has tested."""
        raise ZeroDivisionError(f"user {user_id} cannot be called {name}")

    @method
    def report(self, seconds: float) -> str:
        """Work for `seconds`, whoever still waits for it."""
        structlog.get_logger().info("report.started", seconds=seconds)
        time.sleep(seconds)
        return self._server

    @method
    def served_by(self) -> str:
        """Return this server's name."""
        return self._server


def main(name: str) -> None:
    """Log as an application does, and serve until SIGTERM."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
    )
    serve(UserTable(name))


if __name__ == "__main__":
    main(sys.argv[1])
