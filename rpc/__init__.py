"""Typed RPC over Apache Kafka. Everything that a user needs is here; see the README."""

from rpc.shadowing import refuse_shadowed

refuse_shadowed("contracts", "transports")

from contracts import (  # noqa: E402 - a package that shadows ours must be told before it is used
    JSON,
    MSGPACK,
    NO_RETRY,
    Call,
    Cancelled,
    Certainty,
    Code,
    Codec,
    ContractError,
    DeadlineExceeded,
    DeliveryMode,
    InternalError,
    InvalidArgument,
    Overloaded,
    PermissionDenied,
    RetryPolicy,
    RpcError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    method,
    service,
)
from rpc.call_log import log_calls  # noqa: E402
from rpc.channel import Channel  # noqa: E402
from rpc.context import CallContext, current_call  # noqa: E402
from rpc.idempotency import IdempotencyStore, MemoryStore  # noqa: E402
from rpc.idempotency_sqlite import LeaseLost, SqliteStore  # noqa: E402
from rpc.interceptor import CallInfo, Interception, Interceptor  # noqa: E402
from rpc.limits import Limit  # noqa: E402
from rpc.server import Server  # noqa: E402
from rpc.serving import serve  # noqa: E402
from rpc.stub import Stub, close_default_channel, connect, default_channel  # noqa: E402
from transports.base import Transport  # noqa: E402
from transports.errors import TransportError  # noqa: E402
from transports.registry import open_transport  # noqa: E402

__all__ = [
    "JSON",
    "MSGPACK",
    "NO_RETRY",
    "Call",
    "CallContext",
    "CallInfo",
    "Cancelled",
    "Certainty",
    "Channel",
    "Code",
    "Codec",
    "ContractError",
    "DeadlineExceeded",
    "DeliveryMode",
    "IdempotencyStore",
    "Interception",
    "Interceptor",
    "InternalError",
    "InvalidArgument",
    "LeaseLost",
    "Limit",
    "MemoryStore",
    "Overloaded",
    "PermissionDenied",
    "RetryPolicy",
    "RpcError",
    "Server",
    "SqliteStore",
    "Stub",
    "Transport",
    "TransportError",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "close_default_channel",
    "connect",
    "current_call",
    "default_channel",
    "log_calls",
    "method",
    "open_transport",
    "serve",
    "service",
]
