"""The `method` decorator: what turns a function of a contract into a remote method.

A `Method` is a descriptor. On the contract it is itself, with its options; on a stub, the bound
method that calls; on an implementation, the local method that runs. It normalises `def` and
`async def`, so that a contract fits implementations and callers of both kinds.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any, Concatenate, Final, Generic, Literal, ParamSpec, Protocol, TypeVar, overload

from contracts.call import Call
from contracts.delivery import DeliveryMode
from contracts.errors import RpcError
from contracts.local import LocalMethod
from contracts.retry import RetryPolicy

__all__ = ["BINDER", "MAX_TIMEOUT", "BoundMethod", "Method", "method"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

DeliveryName = DeliveryMode | Literal["at_least_once", "at_most_once", "effectively_once"]

BINDER: Final = "__rpc_binder__"
"""The key in a stub's `__dict__` of the callable that makes a `BoundMethod` of a `Method`."""

MAX_TIMEOUT: Final = 9e12
"""Seconds that a call may take at most: of more, a float no longer tells the milliseconds apart."""


class BoundMethod(Protocol[P, R_co]):
    """A method on a stub or an implementation, ready to be called in any of three ways."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call, block until the call ends, and return the result or raise its error."""
        ...

    async def aio(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call, and await the end without blocking the event loop."""
        ...

    def future(self, *args: P.args, **kwargs: P.kwargs) -> Call[R_co]:
        """Call, and return at once what stands for the call."""
        ...

    def with_options(
        self,
        *,
        timeout: float | None = None,
        key: str | bytes | int | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
        retry: RetryPolicy | None = None,
        idempotency_key: str | bytes | None = None,
        wait_for_ready: bool | None = None,
    ) -> "BoundMethod[P, R_co]":
        """Return this method with options of its own; None leaves one as it was.

        `timeout` is in seconds. `key` routes: calls with one key stay in order. `idempotency_key`
        names what is to be done, for a method that is delivered effectively once.
        `wait_for_ready`: wait until the deadline for somebody who serves.
        """
        ...


class Method(Generic[P, R_co]):
    """A method of a contract and its options; see `method`. Never changes once its class exists."""

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        timeout: float | None = None,
        idempotent: bool = False,
        raises: type[RpcError] | Sequence[type[RpcError]] = (),
        key: str | None = None,
        name: str | None = None,
        delivery: DeliveryName = "at_least_once",
        retry: RetryPolicy | None = None,
    ) -> None:
        self.function = function
        self.timeout = timeout
        self.idempotent = idempotent
        self.raises = (raises,) if isinstance(raises, type) else tuple(raises)
        self.key = key
        self.name = name
        self.delivery = delivery
        self.retry = retry
        self.attribute: str = getattr(function, "__name__", "")
        self.is_async = iscoroutinefunction(function)
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the name under which the class has it."""
        self.attribute = name

    @overload
    def __get__(self, obj: None, owner: Any = None) -> "Method[P, R_co]": ...

    @overload
    def __get__(self, obj: object, owner: Any = None) -> BoundMethod[P, R_co]: ...

    def __get__(self, obj: object | None, owner: Any = None) -> Any:
        """Return itself, the stub's bound method, or the implementation's local one."""
        if obj is None:
            return self
        attributes = getattr(obj, "__dict__", {})
        bind = attributes.get(BINDER)
        if bind is None:
            return LocalMethod(self.function, obj, self.attribute)
        # Without __set__ this is a non-data descriptor: what stands here is found first next time.
        bound = attributes[self.attribute] = bind(self)
        return bound


class _Decorator(Protocol):
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]], /
    ) -> Method[P, T]: ...

    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], T], /) -> Method[P, T]: ...


@overload
def method(function: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]], /) -> Method[P, T]: ...


@overload
def method(function: Callable[Concatenate[Any, P], T], /) -> Method[P, T]: ...


@overload
def method(
    *,
    timeout: float | None = None,
    idempotent: bool = False,
    raises: type[RpcError] | Sequence[type[RpcError]] = (),
    key: str | None = None,
    name: str | None = None,
    delivery: DeliveryName = "at_least_once",
    retry: RetryPolicy | None = None,
) -> _Decorator: ...


def method(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function of a contract a remote method, and one of an implementation its handler.

    On a contract, with options: `timeout`, the seconds a call may take unless its caller says
    otherwise; `idempotent`, whether a second execution does no harm, so that it may be retried;
    `raises`, the errors that arrive typed; `key`, the parameter whose value routes the call, so
    that calls with one value stay in order; `name`, its name on the wire; `delivery`, a
    `DeliveryMode` or its text; `retry`, what callers try again, instead of their channel's policy.
    On an implementation, bare. Options that make no sense are told when the contract is read.
    """
    if function is not None:
        return Method(function)
    return lambda function: Method(function, **options)
