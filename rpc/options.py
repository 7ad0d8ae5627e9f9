"""What a caller may choose for one call, beside its arguments."""

from collections.abc import Mapping
from typing import NamedTuple

from contracts import MAX_TIMEOUT, DeliveryMode, MethodSpec, RetryPolicy
from rpc.headers import is_control
from rpc.request import MAX_IDEMPOTENCY_KEY
from transports.base import Headers

__all__ = ["CallOptions", "Terms", "check_idempotency_key", "check_timeout", "metadata_headers"]

MAX_METADATA = 8192
"""Bytes of names and values together: what gRPC allows by default."""


class CallOptions(NamedTuple):
    """Options of one call; None is the method's own, the channel's, or nothing."""

    timeout: float | None = None
    key: bytes | None = None
    metadata: Headers = ()
    retry: RetryPolicy | None = None
    idempotency_key: bytes | None = None
    wait_for_ready: bool | None = None


class Terms(NamedTuple):
    """What holds of all calls of one method with one set of options: derived once, not per call."""

    timeout: float
    """Seconds; a call being handled may leave its own calls less."""
    key: bytes | None
    """The routing key that was chosen; None: the contract's, if it names one."""
    metadata: Headers
    retry: RetryPolicy
    idempotency_key: bytes | None
    wait_for_ready: bool
    """Whether to wait for a server until the deadline where there is none."""


def check_timeout(seconds: float) -> None:
    """Raise `ValueError` unless `seconds` is a time: every call has a deadline."""
    if not 0 < seconds <= MAX_TIMEOUT:
        raise ValueError(f"timeout is {seconds} s, not above 0 and at most {MAX_TIMEOUT:g}")


def check_idempotency_key(spec: MethodSpec, key: str | bytes) -> bytes:
    """Return `key` as it travels; raises `ValueError` for one that means nothing, or no key."""
    if spec.delivery is not DeliveryMode.EFFECTIVELY_ONCE:
        raise ValueError(
            f"{spec.full_name} takes no idempotency_key: it is delivered {spec.delivery}; declare "
            'it with @method(delivery="effectively_once")'
        )
    raw = key.encode() if isinstance(key, str) else key
    if not 0 < len(raw) <= MAX_IDEMPOTENCY_KEY:
        raise ValueError(f"idempotency_key has {len(raw)} bytes, not 1 to {MAX_IDEMPOTENCY_KEY}")
    return raw


def metadata_headers(metadata: Mapping[str, str | bytes]) -> Headers:
    """Return a caller's metadata as headers.

    Raises `ValueError` for a name that is the protocol's, or for more than 8 KiB in all.
    """
    headers = tuple(
        (name, value.encode() if isinstance(value, str) else value)
        for name, value in metadata.items()
    )
    for name, _ in headers:
        if not name or is_control(name):
            raise ValueError(
                f"metadata may not be named {name!r}: names that begin with rpc- or kafka_, and "
                "content-type, belong to the protocol"
            )
    size = sum(len(name.encode()) + len(value) for name, value in headers)
    if size > MAX_METADATA:
        raise ValueError(f"metadata has {size} bytes, more than {MAX_METADATA}")
    return headers
