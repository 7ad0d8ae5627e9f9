"""The service of the demo."""

from typing import Protocol

import msgspec

from rpc import Code, RpcError, method, service

__all__ = ["User", "UserNotFound", "Users"]


class User(msgspec.Struct, frozen=True):
    """Somebody who signed up."""

    id: int
    name: str


class UserNotFound(RpcError, code=Code.NOT_FOUND):
    """There is no user with this id."""

    user_id: int


@service(name="demo.users")
class Users(Protocol):
    """Users, and ways to see what becomes of a call."""

    @method(idempotent=True, raises=[UserNotFound])
    def get(self, user_id: int) -> User:
        """Return the user with this id."""
        ...

    @method
    def rename(self, user_id: int, name: str) -> User:
        """Give a user another name; broken."""
        ...

    @method(idempotent=True)
    def report(self, seconds: float) -> str:
        """Take that long, and return the name of the server that did it."""
        ...

    @method(idempotent=True)
    def served_by(self) -> str:
        """Return the name of the server."""
        ...
