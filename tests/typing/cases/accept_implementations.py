"""Implementations of either colour, and calls on them without a stub."""

from typing import assert_type

from users import User, UserNotFound, UserService, UserServiceV2

from rpc import method, serve


class UserServiceImpl(UserService):
    @method
    def get(self, user_id: int) -> User:
        if user_id < 0:
            raise UserNotFound(user_id=user_id, message=f"no user {user_id}")
        return User(user_id, "a")

    @method
    def find(self, query: str, limit: int = 10, *, exact: bool = False) -> list[User]:
        return [self.get(1)]

    @method
    async def delete(self, user_id: int) -> None:
        await self.find.aio("a")


class Renaming(UserServiceImpl, UserServiceV2):
    @method
    async def get(self, user_id: int) -> User:
        return await super().get.aio(user_id)

    @method
    async def rename(self, user_id: int, name: str) -> User:
        return User(user_id, name)


local = UserServiceImpl()
assert_type(local.get(42), User)
assert_type(local.get.future(42).result(), User)


def main() -> None:
    serve(UserServiceImpl(), Renaming())
