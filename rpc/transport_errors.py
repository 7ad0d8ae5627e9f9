"""What a transport's error means to a call: the one place where the two trees meet."""

from collections.abc import Callable

from contracts import (
    Certainty,
    InternalError,
    Overloaded,
    PermissionDenied,
    RpcError,
    Unauthenticated,
    Unavailable,
)
from transports.errors import (
    ConfigurationError,
    MessageTooLarge,
    NotAuthenticated,
    NotAuthorized,
    SendUncertain,
    TransportError,
)

__all__ = ["to_rpc_error"]

_MEANING: tuple[tuple[type[TransportError], Callable[..., RpcError]], ...] = (
    (NotAuthenticated, Unauthenticated),
    (NotAuthorized, PermissionDenied),
    (MessageTooLarge, Overloaded),  # gRPC tells an oversized message as RESOURCE_EXHAUSTED too
    (ConfigurationError, InternalError),
    (TransportError, Unavailable),
)


def to_rpc_error(error: TransportError, method: str) -> RpcError:
    """Return the error of a call to `method` whose request met `error`, caused by it.

    Its certainty is `UNKNOWN` for `SendUncertain` and `NOT_EXECUTED` for all others, which prove
    that the request was not appended.
    """
    kind = next(meaning for cause, meaning in _MEANING if isinstance(error, cause))
    certainty = Certainty.UNKNOWN if isinstance(error, SendUncertain) else Certainty.NOT_EXECUTED
    told = kind(message=f"{method}: {error}", certainty=certainty)
    told.__cause__ = error
    return told
