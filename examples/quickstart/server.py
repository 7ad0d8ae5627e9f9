"""Serves users until SIGTERM or Ctrl-C. Start as many as you like: they share the calls.

python -m examples.quickstart.server
"""

import logging

import structlog

from examples.quickstart.contract import User, UserNotFound, UserService
from rpc import method, serve

__all__ = ["Users", "main"]

_NAMES = {1: "Ada", 2: "Grace", 42: "Douglas"}


class Users(UserService):
    """Users from a table."""

    @method
    def get(self, user_id: int) -> User:
        """Return the user with this id."""
        name = _NAMES.get(user_id)
        if name is None:
            raise UserNotFound(user_id=user_id, message=f"there is no user {user_id}")
        return User(user_id, name)


def main() -> None:
    """Configure logging, which is the application's business, then serve."""
    logging.basicConfig(level=logging.WARNING)  # the Kafka client's own lines
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    serve(Users())


if __name__ == "__main__":
    main()
