"""Implementations that both checkers must refuse."""

from users import User, UserService

from rpc import method, serve


class Missing(UserService):
    @method
    def get(self, user_id: int) -> User:
        return User(user_id, "a")

    @method
    def delete(self, user_id: int) -> None: ...


# refused: abstract | reportAbstractUsage
serve(Missing())


class Wrong(UserService):
    @method
    # refused: override | reportIncompatibleVariableOverride
    def get(self, user_id: str) -> User:
        return User(1, user_id)

    @method
    # refused: override | reportIncompatibleVariableOverride
    async def find(self, query: str, limit: int = 10, *, exact: bool = False) -> list[str]:
        return [query]

    @method
    # refused: override | reportIncompatibleVariableOverride
    def delete(self, user_id: int, really: bool) -> None: ...


class Undecorated(UserService):
    # refused: override | reportIncompatibleVariableOverride
    def get(self, user_id: int) -> User:
        return User(user_id, "a")


class Slip(UserService):
    @method
    def get(self, user_id: int) -> User:
        # refused: return-value | reportReturnType
        return user_id
