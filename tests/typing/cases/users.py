"""A contract as users write it; the cases beside this file call it and implement it."""

from typing import Annotated, Protocol

import msgspec

from rpc import Code, RpcError, method, service


class User(msgspec.Struct, frozen=True):
    id: int
    name: str


class UserNotFound(RpcError, code=Code.NOT_FOUND):
    user_id: int


class TenantUserNotFound(UserNotFound, name="tenant-user-not-found"):
    tenant: str = "main"


class UserService(Protocol):
    @method(timeout=2.0, idempotent=True, raises=[UserNotFound], key="user_id")
    def get(self, user_id: int) -> User: ...

    @method
    async def find(
        self, query: str, limit: Annotated[int, msgspec.Meta(ge=1)] = 10, *, exact: bool = False
    ) -> list[User]: ...

    @method
    def delete(self, user_id: int) -> None: ...


@service(name="users", version=2)
class UserServiceV2(UserService, Protocol):
    @method
    def rename(self, user_id: int, name: str) -> User: ...
