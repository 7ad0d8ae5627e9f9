"""What the service is: shared by its servers and its clients."""

from typing import Protocol

import msgspec

from rpc import Code, RpcError, method

__all__ = ["User", "UserNotFound", "UserService"]


class User(msgspec.Struct, frozen=True):
    """Somebody who signed up."""

    id: int
    name: str


class UserNotFound(RpcError, code=Code.NOT_FOUND):
    """There is no user with this id."""

    user_id: int


class UserService(Protocol):
    """Who our users are."""

    @method(idempotent=True, raises=[UserNotFound])
    def get(self, user_id: int) -> User:
        """Return the user with this id."""
        ...
