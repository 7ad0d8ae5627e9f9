"""Signatures with their annotations resolved: how they are read, shown and compared."""

import inspect
import re
import types
import typing
from collections.abc import Mapping
from inspect import Parameter, Signature
from typing import Any, Final

__all__ = ["RETURN", "difference", "is_class_variable", "resolve", "show", "show_signature"]

RETURN: Final = "return"
"""What the result goes by where parameters go by their names."""


def resolve(
    signature: Signature, namespace: dict[str, Any], scope: Mapping[str, Any]
) -> tuple[Signature, dict[str, str]]:
    """Return `signature` with string annotations evaluated, and what could not be, with the cause.

    `namespace` is that of the module, `scope` that of the class. What cannot be evaluated counts as
    missing in the signature that is returned.
    """
    failures: dict[str, str] = {}
    local = dict(scope)

    def evaluated(name: str, hint: Any) -> Any:
        if hint is Signature.empty:
            return hint
        holder = types.SimpleNamespace(__annotations__={name: hint})
        try:
            return typing.get_type_hints(holder, namespace, local, include_extras=True)[name]
        except Exception as error:  # evaluating an annotation runs whatever it says
            failures[name] = f"{type(error).__name__}: {error}"
            return Signature.empty

    parameters = [
        parameter.replace(annotation=evaluated(name, parameter.annotation))
        for name, parameter in signature.parameters.items()
    ]
    result = evaluated(RETURN, signature.return_annotation)
    return Signature(parameters, return_annotation=result), failures


_CLASS_VARIABLE = re.compile(r"(\w+\.)?ClassVar\b")


def is_class_variable(annotation: Any) -> bool:
    """Tell whether `annotation`, perhaps a string still, says ClassVar."""
    # Looking at the text is how dataclasses tells it too: resolving may not be possible yet.
    text = annotation if isinstance(annotation, str) else repr(annotation)
    return _CLASS_VARIABLE.match(text) is not None


_MODULES = re.compile(r"('[^']*')|(?:[A-Za-z_<][\w<>]*\.)+(?=[A-Za-z_])")


def show(annotation: Any) -> str:
    """Return `annotation` as one would write it, without the names of modules."""
    return _shown(inspect.formatannotation(annotation))


def show_signature(signature: Signature) -> str:
    """Return `signature` as one would write it, without the names of modules."""
    return _shown(str(signature))


def _shown(text: str) -> str:
    # What stands in quotes, such as a Literal's value or a default, is no name of a module.
    bare = _MODULES.sub(lambda match: match[1] or "", text)
    return bare.replace("NoneType", "None").replace("~", "")


def difference(expected: Signature, found: Signature) -> str | None:
    """Return in what `found` differs from `expected`, or None where one stands for the other.

    Names, kinds, the order of positional parameters, defaults and annotations must be equal; an
    annotation that `found` lacks is not compared, and its result may be a subclass of what is
    expected. Constraints in `Annotated` are not compared: the contract's hold.
    """
    return (
        _parameters_differ(expected.parameters, found.parameters)
        or next(
            filter(
                None,
                map(_parameter_differs, expected.parameters.values(), _ordered(expected, found)),
            ),
            None,
        )
        or _result_differs(expected.return_annotation, found.return_annotation)
    )


def _ordered(expected: Signature, found: Signature) -> list[Parameter]:
    return [found.parameters[name] for name in expected.parameters]


def _parameters_differ(
    expected: Mapping[str, Parameter], found: Mapping[str, Parameter]
) -> str | None:
    for name in expected:
        if name not in found:
            return f"parameter '{name}' is missing"
    for name in found:
        if name not in expected:
            return f"parameter '{name}' is not in the contract"
    if _positional(expected) != _positional(found):
        return "the parameters stand in another order, or are of another kind"
    return None


def _positional(parameters: Mapping[str, Parameter]) -> list[tuple[str, object]]:
    return [(p.name, p.kind) for p in parameters.values() if p.kind is not p.KEYWORD_ONLY]


def _parameter_differs(expected: Parameter, found: Parameter) -> str | None:
    if not _same_default(expected.default, found.default):
        return f"parameter '{expected.name}' has another default"
    if found.annotation is Parameter.empty:
        return None
    if _canonical(expected.annotation) != _canonical(found.annotation):
        return (
            f"parameter '{expected.name}' is `{show(found.annotation)}`,"
            f" not `{show(expected.annotation)}`"
        )
    return None


def _same_default(expected: object, found: object) -> bool:
    return expected is found or (type(expected) is type(found) and bool(expected == found))


def _result_differs(expected: Any, found: Any) -> str | None:
    if found is Signature.empty or _canonical(expected) == _canonical(found):
        return None
    if isinstance(expected, type) and isinstance(found, type) and issubclass(found, expected):
        return None
    return f"the result is `{show(found)}`, not `{show(expected)}`"


def _canonical(annotation: Any) -> Any:
    """Return a form that is equal for annotations of one meaning: `Optional[int]`, `int | None`."""
    origin = typing.get_origin(annotation)
    if origin is None:
        return annotation
    if origin is typing.Annotated:
        return _canonical(annotation.__origin__)
    arguments = tuple(_canonical(argument) for argument in typing.get_args(annotation))
    if origin in {typing.Union, types.UnionType}:
        return frozenset(arguments)
    return origin, arguments
