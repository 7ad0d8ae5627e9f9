"""What a service is: contracts, the values that travel, and the errors that may.

Knows nothing of transports or of calling. `rpc` re-exports what users need.
"""

from contracts.call import Call, Sent
from contracts.codec import (
    JSON,
    MAX_BODY_BYTES,
    MSGPACK,
    Codec,
    DecodeError,
    EncodeError,
    codec_named,
    sized,
)
from contracts.delivery import DeliveryMode
from contracts.error_body import ErrorBody, from_wire, to_wire
from contracts.errors import (
    Cancelled,
    Certainty,
    Code,
    ContractError,
    DeadlineExceeded,
    InternalError,
    InvalidArgument,
    Mistake,
    Overloaded,
    PermissionDenied,
    RpcError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from contracts.implementation import Handler, check_implementation, services_of
from contracts.local import LocalMethod
from contracts.method import BINDER, MAX_TIMEOUT, BoundMethod, Method, method
from contracts.retry import NO_RETRY, RetryPolicy
from contracts.service import describe, service
from contracts.spec import MethodSpec, ServiceSpec, routing_key

__all__ = [
    "BINDER",
    "JSON",
    "MAX_BODY_BYTES",
    "MAX_TIMEOUT",
    "MSGPACK",
    "NO_RETRY",
    "BoundMethod",
    "Call",
    "Cancelled",
    "Certainty",
    "Code",
    "Codec",
    "ContractError",
    "DeadlineExceeded",
    "DecodeError",
    "DeliveryMode",
    "EncodeError",
    "ErrorBody",
    "Handler",
    "InternalError",
    "InvalidArgument",
    "LocalMethod",
    "Method",
    "MethodSpec",
    "Mistake",
    "Overloaded",
    "PermissionDenied",
    "RetryPolicy",
    "RpcError",
    "Sent",
    "ServiceSpec",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "check_implementation",
    "codec_named",
    "describe",
    "from_wire",
    "method",
    "routing_key",
    "service",
    "services_of",
    "sized",
    "to_wire",
]
