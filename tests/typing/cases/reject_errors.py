"""Errors that both checkers must refuse."""

from users import TenantUserNotFound, UserNotFound

from rpc import Code, RpcError, Unavailable, method

# refused: arg-type | reportArgumentType
UserNotFound(user_id="42")
# refused: call-arg | reportCallIssue
UserNotFound(id=42)
# refused: call-arg | reportCallIssue
UserNotFound()
# refused: arg-type, call-arg | reportCallIssue
UserNotFound(42)
# refused: call-arg | reportCallIssue
UserNotFound(user_id=42, code=Code.ABORTED)
# refused: arg-type | reportArgumentType
TenantUserNotFound(user_id=1, tenant=2)
# refused: call-arg | reportCallIssue
RpcError(message="no code")
# refused: call-arg | reportCallIssue
RpcError(code=Code.ABORTED, user_id=1)
# refused: call-arg | reportCallIssue
Unavailable(message="m", topic="t")


# refused: arg-type | reportArgumentType, reportGeneralTypeIssues
class Unknown(RpcError, code="NOT_FOUND"):
    pass


# refused: list-item | reportArgumentType
method(raises=[ValueError])
# refused: call-overload | reportArgumentType
method(timeout="2")
