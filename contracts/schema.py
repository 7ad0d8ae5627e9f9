"""From a method's signature to the struct of its arguments, which is the request's body."""

from collections.abc import Hashable, Mapping
from inspect import Parameter, Signature
from typing import Any, Final

import msgspec

from contracts.codec import JSON
from contracts.signature import show, show_signature

__all__ = ["arguments_struct", "default_problem", "explain"]

_MADE_ANEW: Final = (list, dict, set, bytearray)
"""What msgspec copies for each call; it refuses those that are not empty."""


def arguments_struct(name: str, signature: Signature) -> type[msgspec.Struct]:
    """Return a frozen struct called `name` that is built as the method is called.

    Positional parameters come first and in order, keyword-only ones after them; defaults are kept.
    Fields that are not known are ignored when it is decoded, so that newer callers are understood.
    """
    # gc=False is safe: handlers get the values and never the struct, so no cycle leads through it.
    fields = [_field(parameter) for parameter in signature.parameters.values()]
    split = sum(p.kind is not p.KEYWORD_ONLY for p in signature.parameters.values())
    struct = msgspec.defstruct(name, fields[:split], frozen=True, gc=False)
    if split == len(fields):
        return struct
    return msgspec.defstruct(
        name, fields[split:], bases=(struct,), kw_only=True, frozen=True, gc=False
    )


def _field(parameter: Parameter) -> tuple[str, Any] | tuple[str, Any, Any]:
    if parameter.default is Parameter.empty:
        return parameter.name, parameter.annotation
    return parameter.name, parameter.annotation, parameter.default


def default_problem(parameter: Parameter) -> str | None:
    """Return why the default of `parameter` cannot stand, or None if it can, or there is none."""
    if parameter.default is Parameter.empty or parameter.default is msgspec.UNSET:
        return None
    default = parameter.default
    try:
        msgspec.defstruct("Default", [_field(parameter)])
        # msgspec knows what can change of its own kinds alone: of others, what has no hash.
        changes = not isinstance(default, Hashable) and type(default) not in _MADE_ANEW
    except TypeError:
        changes = True
    if changes:
        return f"its default {default!r} can be changed by whoever gets it; use None"
    try:
        JSON.decoder(parameter.annotation)(JSON.encode(default))
    except ValueError as error:
        return f"its default {default!r} is no `{show(parameter.annotation)}`: {error}"
    return None


def explain(
    full_name: str, signature: Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> str:
    """Return what is wrong with a call of `full_name` with these arguments."""
    problem = "cannot be called so"
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        problem = str(error)
    return f"{full_name}{show_signature(signature)}: {problem}"
