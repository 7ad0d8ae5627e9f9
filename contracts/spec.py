"""What a contract says, read: values that stubs, channels and servers work from."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Signature
from typing import Any

import msgspec

from contracts.codec import EncodeError
from contracts.delivery import DeliveryMode
from contracts.errors import RpcError
from contracts.retry import RetryPolicy
from contracts.schema import explain
from contracts.signature import show

__all__ = ["MethodSpec", "ServiceSpec", "routing_key"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MethodSpec:
    """One remote method. Any thread."""

    service: str
    """The service's full name on the wire, such as `users.v2`."""
    name: str
    """The method's name on the wire."""
    full_name: str
    """Both, such as `users.v2.get`."""
    attribute: str
    """The method's name in Python."""
    arguments: type[msgspec.Struct]
    """The arguments by name, which is the request's body."""
    result: Any
    """The annotation of the result, which is the reply's body."""
    timeout: float | None
    """Seconds that a call may take unless its caller says otherwise; None: the channel's."""
    idempotent: bool
    """Whether executing it twice does no harm."""
    errors: Mapping[str, type[RpcError]]
    """The declared errors by their name on the wire."""
    key: str | None
    """The parameter whose value routes the call."""
    signature: Signature
    """As called on a stub: without `self`, annotations resolved."""
    doc: str | None
    """The docstring."""
    delivery: DeliveryMode = DeliveryMode.AT_LEAST_ONCE
    """What is promised of how often its handler runs for one call."""
    retry: RetryPolicy | None = None
    """What callers try again; None: what their channel says."""
    keyword_only: tuple[str, ...] = ()
    """The parameters that are passed by name alone: the last fields of `arguments`."""
    result_classes: tuple[type, ...] | None = None
    """The classes that a result may have; None: any may be right."""

    @property
    def repeatable(self) -> bool:
        """Whether a call may be sent again although an earlier attempt may have run."""
        return self.idempotent or self.delivery is DeliveryMode.EFFECTIVELY_ONCE

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> msgspec.Struct:
        """Return the arguments of a call; raises `TypeError` for missing or unknown ones.

        Types are not checked here: type checkers do, and the server does.
        """
        try:
            return self.arguments(*args, **kwargs)
        except TypeError:
            raise TypeError(explain(self.full_name, self.signature, args, kwargs)) from None

    def invoke(self, function: Callable[..., Any], arguments: msgspec.Struct) -> Any:
        """Call `function` with `arguments`, as the method is declared, and return what it does."""
        values = msgspec.structs.astuple(arguments)
        if not self.keyword_only:
            return function(*values)
        split = len(values) - len(self.keyword_only)
        named = dict(zip(self.keyword_only, values[split:], strict=True))
        return function(*values[:split], **named)

    def key_of(self, arguments: msgspec.Struct) -> bytes | None:
        """Return the routing key that `arguments` hold, or None without one.

        Raises `EncodeError` for a value that `routing_key` does not take.
        """
        if self.key is None:
            return None
        try:
            return routing_key(getattr(arguments, self.key))
        except ValueError as error:
            msg = f"{self.full_name}: the routing key '{self.key}' {error}"
            raise EncodeError(msg) from None

    def check_result(self, value: object) -> str | None:
        """Return what is wrong with a handler's result, or None if it may be right.

        Looks at the class of the value alone, not into it.
        """
        classes = self.result_classes
        if classes is None or (
            isinstance(value, classes) and (not isinstance(value, bool) or bool in classes)
        ):
            return None
        got = "None" if value is None else type(value).__name__
        return f"expected {show(self.result)}, got {got}"


def routing_key(value: object) -> bytes | None:
    """Return the bytes that decide the partition of a call routed by `value`; None: it has no key.

    A str as UTF-8, an int in decimal, a UUID in its usual text, bytes as they are. Raises
    `ValueError`, which names the type but not the value, for everything else.
    """
    try:
        match value:
            case None:
                return None
            case str():
                return value.encode()
            case bytes() | bytearray():
                return bytes(value)
            case int():
                return b"%d" % value
            case uuid.UUID():
                return str(value).encode()
    except ValueError as error:  # a lone surrogate, or an int of thousands of digits
        problem = type(error).__name__
    else:
        problem = type(value).__name__
    msg = f"cannot be written: {problem}"
    raise ValueError(msg)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ServiceSpec:
    """One service: a contract as it was read. Any thread."""

    name: str
    """The service's name on the wire, without its version."""
    version: int | None
    """The generation, or None for a service without one."""
    full_name: str
    """Name and version, such as `users.v2`; topics and groups are named after it."""
    contract: type
    """The class that declares it."""
    methods: Mapping[str, MethodSpec]
    """By their names on the wire."""
    by_attribute: Mapping[str, MethodSpec]
    """By their names in Python."""
    doc: str | None
    """The docstring."""
