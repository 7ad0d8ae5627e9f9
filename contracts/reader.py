"""Reads one method of a contract, and tells all that cannot work in it."""

import inspect
import re
from collections.abc import Iterator, Mapping
from inspect import Parameter, Signature
from types import MappingProxyType
from typing import Any, Final

from contracts.annotation import key_problem, problems_of
from contracts.delivery import DeliveryMode
from contracts.errors import LIBRARY_ERRORS, RpcError
from contracts.method import MAX_TIMEOUT, Method
from contracts.result import classes_of
from contracts.retry import RetryPolicy
from contracts.schema import arguments_struct, default_problem
from contracts.signature import RETURN, resolve, show
from contracts.spec import MethodSpec

__all__ = ["Problem", "method_problems", "method_spec", "read_signature"]

Problem = tuple[str | None, str]
"""The parameter that a problem is in, or None, and the problem."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_UNFIT_KINDS: Final[dict[object, str]] = {
    Parameter.VAR_POSITIONAL: "takes any number of arguments; name each, or take a `list`",
    Parameter.VAR_KEYWORD: "takes arguments of any name; name each, or take a `dict`",
}


def read_signature(method: Method[..., Any], owner: type) -> tuple[Signature, dict[str, str]]:
    """Return the signature of `method` as `owner` has it, without `self`, and what fails in it."""
    function = inspect.unwrap(method.function)
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].kind is not Parameter.VAR_POSITIONAL:
        parameters = parameters[1:]
    signature = signature.replace(parameters=parameters)
    return resolve(signature, getattr(function, "__globals__", {}), vars(owner))


def method_problems(method: Method[..., Any], owner: type) -> list[Problem]:
    """Return all that cannot work in `method`, which `owner` defines; nothing if all is well."""
    if not inspect.isfunction(method.function):
        return [(None, "is no plain method; put `@method` on a `def` or `async def` with `self`")]
    signature, failures = read_signature(method, owner)
    problems: list[Problem] = [*_name_problems(method), *_option_problems(method)]
    if not inspect.signature(method.function).parameters:
        problems.append((None, "takes no `self`; write it as the first parameter"))
    for parameter in signature.parameters.values():
        told = _parameter_problems(parameter, failures.get(parameter.name))
        problems.extend((parameter.name, text) for text in told)
    problems.extend((None, text) for text in _result_problems(method, signature, failures))
    problems.extend(_key_problems(method.key, signature))
    problems.extend((None, text) for text in _raises_problems(method.raises))
    return problems


def method_spec(service: str, owner: type, method: Method[..., Any]) -> MethodSpec:
    """Return what `method` says; it must have no problems."""
    signature, _ = read_signature(method, owner)
    name = method.name or method.attribute
    parameters = signature.parameters.values()
    return MethodSpec(
        service=service,
        name=name,
        full_name=f"{service}.{name}",
        attribute=method.attribute,
        arguments=arguments_struct(f"{owner.__name__}_{method.attribute}", signature),
        result=signature.return_annotation,
        timeout=None if method.timeout is None else float(method.timeout),
        idempotent=method.idempotent,
        errors=MappingProxyType({error.wire_name: error for error in method.raises}),
        key=method.key,
        delivery=DeliveryMode(method.delivery),
        retry=method.retry,
        signature=signature,
        doc=inspect.getdoc(method.function),
        keyword_only=tuple(p.name for p in parameters if p.kind is Parameter.KEYWORD_ONLY),
        result_classes=classes_of(signature.return_annotation),
    )


def _name_problems(method: Method[..., Any]) -> Iterator[Problem]:
    if method.attribute.startswith("_"):
        yield None, "is private by its name; a remote method is public: rename it"
    name = method.attribute if method.name is None else method.name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        allowed = "1 to 100 of A-Z, a-z, 0-9, '_' and '-'"
        yield None, f"has the name {name!r} on the wire; it must be {allowed}: give one by `name=`"


def _option_problems(method: Method[..., Any]) -> Iterator[Problem]:
    timeout = method.timeout
    if timeout is not None and not (_is_number(timeout) and 0 < timeout <= MAX_TIMEOUT):
        allowed = f"a number of seconds above 0, and at most {MAX_TIMEOUT:g}"
        yield None, f"has the timeout {timeout!r}; it must be {allowed}"

    if method.delivery not in list(DeliveryMode):
        names = ", ".join(f"'{mode}'" for mode in DeliveryMode)
        yield None, f"has the delivery {method.delivery!r}; there are: {names}"
    elif method.delivery == DeliveryMode.AT_MOST_ONCE and method.idempotent:
        yield (
            None,
            "is at_most_once, so that it may not run twice, and idempotent: leave one out",
        )
    retry: object = method.retry
    if retry is not None and not isinstance(retry, RetryPolicy):
        yield None, f"has the retry {retry!r}; it must be a `RetryPolicy`"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parameter_problems(parameter: Parameter, failure: str | None) -> list[str]:
    unfit = _UNFIT_KINDS.get(parameter.kind)
    if unfit:
        return [unfit]
    if parameter.name.startswith("_"):
        return ["has a private name, but goes by it on the wire; rename it"]
    if failure:
        return [_unresolved(failure)]
    if parameter.annotation is Parameter.empty:
        return [f"has no type; write one, such as `{parameter.name}: int`"]
    problems = problems_of(parameter.annotation)
    default = None if problems else default_problem(parameter)
    return [default] if default else problems


def _unresolved(failure: str) -> str:
    return (
        f"has a type that cannot be resolved ({failure});"
        " define or import it at the top of the contract's module, not under TYPE_CHECKING"
    )


def _result_problems(
    method: Method[..., Any], signature: Signature, failures: Mapping[str, str]
) -> list[str]:
    function = method.function
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return ["is a generator; streams are not supported yet: return a `list`"]
    if RETURN in failures:
        return [f"the result {_unresolved(failures[RETURN])}"]
    if signature.return_annotation is Signature.empty:
        return ["has no result type; write one, such as `-> None`"]
    return [f"the result: {text}" for text in problems_of(signature.return_annotation)]


def _key_problems(key: str | None, signature: Signature) -> Iterator[Problem]:
    if key is None:
        return
    parameter = signature.parameters.get(key)
    if parameter is None:
        names = ", ".join(f"'{name}'" for name in signature.parameters) or "none"
        yield None, f"has the key '{key}', which is no parameter of it; there are: {names}"
    elif parameter.annotation is not Parameter.empty and not problems_of(parameter.annotation):
        problem = key_problem(parameter.annotation)
        if problem:
            yield key, problem


def _raises_problems(raises: tuple[type[RpcError], ...]) -> Iterator[str]:
    named: dict[str, type] = {}
    for error in raises:
        problem = _error_problem(error)
        if problem:
            yield f"`raises` lists {problem}"
            continue
        if named.setdefault(error.wire_name, error) is not error:
            yield f"`raises` lists two errors called '{error.wire_name}'; give one another `name=`"
        for text in problems_of(error.fields_type):
            yield f"`raises` lists {error.__name__}, which cannot travel: {text}"


def _error_problem(error: Any) -> str | None:
    if not (isinstance(error, type) and issubclass(error, RpcError)):
        return f"{show(error)}, which is no RpcError; derive it from RpcError, with a code"
    if error is RpcError:
        return "RpcError itself, which has no code; declare an error of your own"
    if LIBRARY_ERRORS.get(error.wire_name, error) is not error:
        return f"{error.__name__}, called as an error of the library is; give it another `name=`"
    return None
