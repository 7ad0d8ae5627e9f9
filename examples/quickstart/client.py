"""Asks for two users: one that is there and one that is not.

python -m examples.quickstart.client
"""

from examples.quickstart.contract import UserNotFound, UserService
from rpc import Channel, Stub

__all__ = ["main"]


def main() -> None:
    """Make two calls over a channel that is closed at the end."""
    with Channel() as channel:
        users = Stub(UserService, channel=channel)
        print(users.get(42).name)
        try:
            users.get(7)
        except UserNotFound as error:
            print(f"not found: {error.user_id}")


if __name__ == "__main__":
    main()
