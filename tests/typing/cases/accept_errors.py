"""Errors: declared with typed fields, of the library, and undeclared."""

from typing import assert_type

import msgspec
from users import TenantUserNotFound, User, UserNotFound, UserService

from rpc import Certainty, Code, DeadlineExceeded, RpcError, Stub, Unavailable


class Conflict(RpcError, code=Code.ABORTED):
    rows: list[int] = msgspec.field(default_factory=lambda: [1])
    holder: User | None = None


error = UserNotFound(user_id=42, message="no user 42", certainty=Certainty.EXECUTED)
assert_type(error.user_id, int)
assert_type(error.code, Code)
assert_type(error.certainty, Certainty)
assert_type(error.code.number, int)
assert_type(UserNotFound.code, Code)
assert_type(TenantUserNotFound(user_id=1).tenant, str)
assert_type(TenantUserNotFound(user_id=1, tenant="a", details={"n": 1}).user_id, int)
assert_type(Conflict().rows, list[int])
assert_type(Conflict(holder=None, rows=[]).holder, User | None)
assert_type(RpcError(code=Code.ABORTED, message="again").details, dict[str, object])
hash(error)
Unavailable(message="gone", certainty=Certainty.NOT_EXECUTED, details={"topic": "t"})


def call() -> str:
    try:
        return Stub(UserService).get(42).name
    except UserNotFound as absent:
        return f"nobody has the id {absent.user_id}"
    except DeadlineExceeded as late:
        return late.message
    except RpcError as other:
        return str(other.error_id) if other.certainty is Certainty.UNKNOWN else other.code.value
