"""What implements a contract, checked before it serves."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from contracts.errors import ContractError, Mistake
from contracts.members import methods_of
from contracts.method import BINDER, Method
from contracts.service import describe, is_contract
from contracts.signature import difference, resolve, show_signature
from contracts.spec import MethodSpec, ServiceSpec

__all__ = ["Handler", "check_implementation", "services_of"]


class Handler(NamedTuple):
    """What runs one method: bound to its implementation, and called with `MethodSpec.invoke`."""

    spec: MethodSpec
    function: Callable[..., Any]
    is_async: bool
    """Whether calling it gives a coroutine."""


def services_of(implementation: object) -> tuple[ServiceSpec, ...]:
    """Return the services that `implementation` serves: the most derived contracts of its class.

    Empty for a class without a contract. Raises `ContractError` as `describe` does.
    """
    return tuple(describe(contract) for contract in _contracts(type(implementation)))


def check_implementation(implementation: object) -> Mapping[ServiceSpec, tuple[Handler, ...]]:
    """Return the handlers of `implementation`, by service and in the contract's order.

    Raises `ContractError` with every mistake: a method that is missing or has another signature,
    options that contradict the contract, no contract at all. `@method` on the implementation may
    be left out.
    """
    problem = _unservable(implementation)
    if problem:
        raise ContractError(problem)
    services = services_of(implementation)
    checked = {
        spec: [_checked(implementation, method, spec) for method in spec.by_attribute.values()]
        for spec in services
    }
    outcomes = [outcome for each in checked.values() for outcome in each]
    mistakes = [*_twins(implementation, services)]
    mistakes += [outcome for outcome in outcomes if isinstance(outcome, Mistake)]
    if mistakes:
        raise ContractError(*mistakes)
    return {
        spec: tuple(outcome for outcome in each if isinstance(outcome, Handler))
        for spec, each in checked.items()
    }


def _contracts(cls: type) -> list[type]:
    found = [base for base in cls.__mro__ if is_contract(base) and methods_of(base)]
    return [one for one in found if not any(one in o.__mro__ for o in found if o is not one)]


def _unservable(implementation: object) -> Mistake | None:
    if isinstance(implementation, type):
        name = implementation.__name__
        if is_contract(implementation):
            return Mistake("is the contract; pass an instance of a class that implements it", name)
        return Mistake(f"is a class; pass an instance: `{name}()`", name)
    name = type(implementation).__name__
    if BINDER in getattr(implementation, "__dict__", {}):
        return Mistake("is a stub, which calls a service; pass what implements it", name)
    if not _contracts(type(implementation)):
        return Mistake(_contractless(type(implementation)), name)
    return None


def _contractless(cls: type) -> str:
    undecorated = [base.__name__ for base in cls.__mro__ if is_contract(base)]
    if undecorated:
        return f"implements {undecorated[0]}, where no method carries `@method`; put it there"
    return f"implements no contract; name it: `class {cls.__name__}(TheContract):`"


def _twins(implementation: object, services: tuple[ServiceSpec, ...]) -> Iterator[Mistake]:
    named: dict[str, ServiceSpec] = {}
    for spec in services:
        other = named.setdefault(spec.full_name, spec)
        if other is not spec:
            yield Mistake(
                f"implements {other.contract.__name__} and {spec.contract.__name__}, which are both"
                f" called '{spec.full_name}'; give one another name by `@service`",
                type(implementation).__name__,
            )


def _checked(implementation: object, spec: MethodSpec, service: ServiceSpec) -> Handler | Mistake:
    def mistake(problem: str) -> Mistake:
        return Mistake(problem, type(implementation).__name__, spec.attribute)

    contract = service.contract.__name__
    owner, value = _definition(type(implementation), spec.attribute)
    if is_contract(owner):
        return mistake(f"is missing; {contract} declares {spec.attribute}{_shown(spec)}")
    function = _bound(implementation, spec.attribute, value)
    if not callable(function):
        return mistake(f"is no method; {contract} declares {spec.attribute}{_shown(spec)}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return mistake("is a generator; streams are not supported yet: return a `list`")
    told = _differs(spec, function, owner)
    if told:
        return mistake(f"differs from {contract}.{spec.attribute}{_shown(spec)}: {told}")
    if isinstance(value, Method):
        told = _contradicts(value, methods_of(service.contract)[spec.attribute][1])
        if told:
            return mistake(f"sets {told} in `@method`, where {contract} rules: leave it out")
    return Handler(spec, function, inspect.iscoroutinefunction(function))


def _shown(spec: MethodSpec) -> str:
    return show_signature(spec.signature)


def _definition(cls: type, attribute: str) -> tuple[type, Any]:
    return next(
        (owner, vars(owner)[attribute]) for owner in cls.__mro__ if attribute in vars(owner)
    )


def _bound(implementation: object, attribute: str, value: object) -> Any:
    if isinstance(value, Method):
        return value.function.__get__(implementation)
    return getattr(implementation, attribute)


def _differs(spec: MethodSpec, function: Callable[..., Any], owner: type) -> str | None:
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return "its signature cannot be read"
    namespace = getattr(inspect.unwrap(function), "__globals__", {})
    # What cannot be resolved here, such as a name under TYPE_CHECKING, is left to type checkers:
    # the contract's own annotations are what counts.
    resolved, _ = resolve(found, namespace, vars(owner))
    return difference(spec.signature, resolved)


def _contradicts(own: Method[..., Any], contract: Method[..., Any]) -> str | None:
    given = {
        "timeout": (own.timeout, contract.timeout),
        "idempotent": (own.idempotent, contract.idempotent),
        "raises": (set(own.raises), set(contract.raises)),
        "key": (own.key, contract.key),
        "name": (own.name, contract.name),
        "delivery": (own.delivery != "at_least_once" and own.delivery, contract.delivery),
        "retry": (own.retry, contract.retry),
    }
    named = [f"`{name}`" for name, (mine, theirs) in given.items() if mine and mine != theirs]
    return ", ".join(named) or None
