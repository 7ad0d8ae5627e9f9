"""What a contract's class holds: its methods, and all that has no place in it."""

import inspect
import types
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from contracts.errors import Mistake
from contracts.method import Method
from contracts.reader import method_problems, read_signature
from contracts.signature import difference, is_class_variable

__all__ = ["Member", "member_mistakes", "methods_of"]

_FOREIGN = {"builtins", "typing", "typing_extensions", "abc", "collections.abc"}

_UNFIT = {
    types.FunctionType: "is a plain function; put `@method` above it, or make its name private",
    property: "is a property; a service has methods alone: make it a method",
    cached_property: "is a property; a service has methods alone: make it a method",
    classmethod: "is a class method; take `self`, and put `@method` alone above it",
    staticmethod: "is a static method; take `self`, and put `@method` alone above it",
}

Member = tuple[type, Method[..., Any]]
"""The class that defines a method, and the method."""


def methods_of(contract: type) -> dict[str, Member]:
    """Return the methods of `contract` by attribute, those of its bases included."""
    return {
        name: (owner, value)
        for name, ((owner, value), *_) in _definitions(contract).items()
        if isinstance(value, Method)
    }


def member_mistakes(contract: type) -> Iterator[Mistake]:
    """Yield what cannot work in the members of `contract`, those of its bases included."""
    methods = methods_of(contract)
    if not methods:
        yield Mistake("has no methods; put `@method` above those to call", contract.__name__)
    for name, ((_, value), *_) in _definitions(contract).items():
        if isinstance(value, Method):
            yield from _method_mistakes(contract, name, methods)
        elif not name.startswith("_") and type(value) in _UNFIT:
            yield Mistake(_UNFIT[type(value)], contract.__name__, name)
    for name in _attributes(contract):
        problem = "is an attribute; a service has methods alone: remove it"
        yield Mistake(problem, contract.__name__, name)


def _definitions(contract: type) -> dict[str, list[tuple[type, Any]]]:
    """Return all that `contract` and its bases define, by name, the effective one first."""
    found: dict[str, list[tuple[type, Any]]] = defaultdict(list)
    for owner in contract.__mro__:
        if owner.__module__ not in _FOREIGN:
            for name, value in vars(owner).items():
                found[name].append((owner, value))
    return found


def _attributes(contract: type) -> Iterator[str]:
    for owner in contract.__mro__:
        if owner.__module__ in _FOREIGN:
            continue
        for name, hint in inspect.get_annotations(owner).items():
            private = name.startswith("_")
            if not (private or name in vars(owner) or is_class_variable(hint)):
                yield name


def _method_mistakes(contract: type, name: str, methods: Mapping[str, Member]) -> Iterator[Mistake]:
    owner, method = methods[name]
    problems = method_problems(method, owner)
    for parameter, problem in problems:
        yield Mistake(problem, contract.__name__, name, parameter)
    for problem in (*_naming(name, methods), *(() if problems else _clashes(contract, name))):
        yield Mistake(problem, contract.__name__, name)


def _naming(name: str, methods: Mapping[str, Member]) -> Iterator[str]:
    _, method = methods[name]
    if name != method.attribute:
        yield f"is '{method.attribute}' under another name; define it on its own"
        return
    wire_name = method.name or name
    for other, (_, rival) in methods.items():
        if other == name:
            return
        if wire_name == (rival.name or other):
            yield f"is called '{wire_name}' on the wire, as '{other}' is; give one another `name=`"


def _clashes(contract: type, name: str) -> Iterator[str]:
    (owner, method), *overridden = _definitions(contract)[name]
    signature, _ = read_signature(method, owner)
    for base, other in overridden:
        if isinstance(other, Method):
            told = difference(read_signature(other, base)[0], signature)
            if told:
                yield f"overrides that of {base.__name__} with another signature: {told}"
