"""A service: how a contract names itself, and how it is read.

A contract is read at first use and once: `_specs` holds what was read for as long as the process
lives, as contracts do. Two threads may read one at once; both get what was stored first.
"""

import inspect
import re
import weakref
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Final, NamedTuple, TypeVar

from contracts.errors import ContractError, Mistake
from contracts.members import member_mistakes, methods_of
from contracts.reader import method_spec
from contracts.spec import MethodSpec, ServiceSpec

__all__ = ["MethodSpec", "ServiceSpec", "describe", "is_contract", "service"]

C = TypeVar("C", bound=type)


class _Name(NamedTuple):
    name: str | None
    version: int | None


_names: Final[weakref.WeakKeyDictionary[type, _Name]] = weakref.WeakKeyDictionary()
_specs: Final[dict[type, ServiceSpec]] = {}

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")
"""What a part of a Kafka topic's name may be; of the 249 the rest is left for what is added."""
_MAX_FULL_NAME: Final = 249
"""Characters of a method's full name: what is longer, no server reads."""


def service(*, name: str | None = None, version: int | None = None) -> Callable[[C], C]:
    """Give a contract a name on the wire, and a version.

    Without it a service is called as its class is. A version, an integer from 1, makes another
    generation of the service with a full name of its own, such as `users.v2`. Neither is inherited.
    What makes no sense is told when the contract is read.
    """

    def named(contract: C) -> C:
        _names[contract] = _Name(name, version)
        return contract

    return named


def is_contract(cls: type) -> bool:
    """Tell whether `cls` is a Protocol, and not merely implements one."""
    # typing.is_protocol is there from Python 3.13 on; this is what it looks at.
    return bool(getattr(cls, "_is_protocol", False))


def describe(contract: Callable[..., object]) -> ServiceSpec:
    """Return what `contract` says, reading it at first use. Any thread.

    Raises `ContractError` with every mistake in it, each with its service, method and parameter.
    """
    if not (isinstance(contract, type) and is_contract(contract)):
        name = getattr(contract, "__name__", type(contract).__name__)
        problem = f"is no Protocol; a contract is a `class {name}(Protocol):` with `@method`s"
        raise ContractError(Mistake(problem, service=name))
    spec = _specs.get(contract)
    return spec or _specs.setdefault(contract, _read(contract))


def _read(contract: type) -> ServiceSpec:
    name, version = _names.get(contract, _Name(None, None))
    name = contract.__name__ if name is None else name
    full_name = name if version is None else f"{name}.v{version}"
    mistakes = [
        *(Mistake(problem, contract.__name__) for problem in _problems(full_name, version)),
        *member_mistakes(contract),
        *_too_long(contract, full_name),
    ]
    if mistakes:
        raise ContractError(*mistakes)
    specs = [method_spec(full_name, *member) for member in methods_of(contract).values()]
    return ServiceSpec(
        name=name,
        version=version,
        full_name=full_name,
        contract=contract,
        methods=MappingProxyType({spec.name: spec for spec in specs}),
        by_attribute=MappingProxyType({spec.attribute: spec for spec in specs}),
        doc=inspect.getdoc(contract),
    )


def _too_long(contract: type, full_name: str) -> Iterator[Mistake]:
    for attribute, (_, method) in methods_of(contract).items():
        length = len(f"{full_name}.{method.name or attribute}")
        if length > _MAX_FULL_NAME:
            problem = (
                f"has a name of {length} characters on the wire, its service's included; it must be"
                f" at most {_MAX_FULL_NAME}: give it, or the service, a shorter one by `name=`"
            )
            yield Mistake(problem, contract.__name__, attribute)


def _problems(full_name: str, version: object) -> Iterator[str]:
    if not _NAME.fullmatch(full_name):
        yield (
            f"has the name {full_name!r} on the wire; it must be 1 to 200 of A-Z, a-z, 0-9, '.',"
            " '_' and '-': give one by `@service(name=...)`"
        )
    if version is not None and not (type(version) is int and version > 0):
        yield f"has the version {version!r}; it must be an integer from 1"
