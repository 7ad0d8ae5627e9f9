"""What goes wrong, as one tree.

RpcError                   a call failed; carries a code and whether it was executed
├── DeadlineExceeded       DEADLINE_EXCEEDED    the time ran out
├── Cancelled              CANCELLED            the caller gave up, or its channel closed
├── Unavailable            UNAVAILABLE          nobody can serve the call now
├── Overloaded             RESOURCE_EXHAUSTED   shed at a limit, before it ran
├── Unimplemented          UNIMPLEMENTED        no such service or method
├── InvalidArgument        INVALID_ARGUMENT     the arguments do not fit the contract
├── InternalError          INTERNAL             an unexpected exception; the server logged it
├── Unauthenticated        UNAUTHENTICATED      the caller is not known
├── PermissionDenied       PERMISSION_DENIED    the caller may not
└── ...                    as declared by you: `class UserNotFound(RpcError, code=Code.NOT_FOUND)`
ContractError (TypeError)  a contract, or its implementation, that cannot work

Those between are made by the library, and may be raised by handlers as well. Of those
declared, each is a class whose annotations become its fields, as in a dataclass.
"""

import inspect
from typing import Any, ClassVar, Final, NamedTuple, dataclass_transform

import msgspec

from contracts.code import Certainty, Code
from contracts.signature import is_class_variable

__all__ = [
    "LIBRARY_ERRORS",
    "Cancelled",
    "Certainty",
    "Code",
    "ContractError",
    "DeadlineExceeded",
    "InternalError",
    "InvalidArgument",
    "Mistake",
    "Overloaded",
    "PermissionDenied",
    "RpcError",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "fields_of",
]


class Mistake(NamedTuple):
    """One thing that cannot work, and where it stands."""

    problem: str
    service: str | None = None
    method: str | None = None
    parameter: str | None = None

    def __str__(self) -> str:
        """Return the place, then what is wrong there and what to do."""
        place = ".".join(part for part in (self.service, self.method) if part)
        if self.parameter:
            place += f", parameter '{self.parameter}'"
        return f"{place}: {self.problem}" if place else self.problem


class ContractError(TypeError):
    """A contract or an implementation that cannot work; tells every mistake in it at once.

    `service`, `method` and `parameter` are those of the first mistake, None where it has none.
    """

    def __init__(self, *mistakes: Mistake) -> None:
        super().__init__(*mistakes)
        self.mistakes = mistakes
        _, self.service, self.method, self.parameter = mistakes[0]

    def __str__(self) -> str:
        """Return the one mistake, or a numbered list of them."""
        if len(self.mistakes) == 1:
            return str(self.mistakes[0])
        numbered = (f"{number:3}. {mistake}" for number, mistake in enumerate(self.mistakes, 1))
        return "\n".join((f"{len(self.mistakes)} mistakes:", *numbered))


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(msgspec.field,))
class _Declarable(Exception):
    """Gives subclasses of `RpcError` a typed keyword constructor, made from their annotations."""


class RpcError(_Declarable):
    """Base of every error of a call; raise it with a code, or a subclass declared with one.

        class UserNotFound(RpcError, code=Code.NOT_FOUND):
            user_id: int

        raise UserNotFound(user_id=42, message="no user 42")

    Listed in a method's `raises`, it arrives at the caller as its own class with its fields. Its
    name on the wire is the class name, or `name=` beside `code=`. Fields are keyword-only, may have
    defaults, and are inherited. A class that cannot be an error raises a `ContractError` when it is
    made; a field that cannot travel, when a contract that declares it is read. Can be pickled and
    copied.
    """

    code: ClassVar[Code]
    """How the failure is classified; of the instance where no class fixes it."""
    wire_name: ClassVar[str] = "RpcError"
    """The error's name on the wire; from the wire, that of a type not known here."""
    message: str = ""
    """What happened, for people."""
    certainty: Certainty = Certainty.EXECUTED
    """Whether the handler ran. An error that a handler raises proves that it did."""
    error_id: str | None = None
    """The id under which the server logged an unexpected exception."""
    details: dict[str, object] = msgspec.field(default_factory=dict)
    """What came with the error and has no field of its own here; plain values."""

    fields_type: ClassVar[type[msgspec.Struct]] = msgspec.defstruct("RpcError", [], frozen=True)
    """The declared fields as a struct, for codecs and for whoever reads contracts."""

    def __init__(
        self,
        *,
        code: Code,
        message: str = "",
        certainty: Certainty = Certainty.EXECUTED,
        error_id: str | None = None,
        details: dict[str, object] | None = None,
    ) -> None:
        self._fill(message, certainty, error_id, details)
        self.__dict__["code"] = Code(code)

    def _fill(
        self,
        message: str,
        certainty: Certainty,
        error_id: str | None,
        details: dict[str, object] | None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.certainty = certainty
        self.error_id = error_id
        self.details = {} if details is None else details

    def __init_subclass__(cls, *, code: Code | None = None, name: str | None = None) -> None:
        """Make `cls` a declared error; raises `ContractError` if it cannot be one."""
        super().__init_subclass__()
        if code is not None:
            cls.code = Code(code)
        cls.wire_name = cls.__name__ if name is None else name
        annotations = _own_fields(cls)
        problems = list(_problems(cls, annotations))
        if not problems:
            try:
                cls.fields_type = _struct(cls, annotations)
            except TypeError as error:
                problems = [str(error)]
        if problems:
            raise ContractError(*(Mistake(f"error {cls.__name__}: {text}") for text in problems))
        cls.__init__ = _init_declared  # type: ignore[method-assign] # as dataclasses do

    def __str__(self) -> str:
        """Return code, message, fields, error id and certainty, in this order."""
        about = self.message or self.wire_name
        values = {**fields_of(self), **self.details}
        listed = ", ".join(f"{name}={value!r}" for name, value in values.items())
        told = f" ({listed})" if listed else ""
        logged = f" [error id {self.error_id}]" if self.error_id else ""
        return f"{self.code}: {about}{told}{logged} [{self.certainty}]"

    def __reduce__(self) -> tuple[Any, ...]:
        """Rebuild from the class and the attributes, past the keyword-only constructor."""
        return _rebuild, (type(self), self.args), self.__dict__


def _init_declared(
    self: RpcError,
    *,
    message: str = "",
    certainty: Certainty = Certainty.EXECUTED,
    error_id: str | None = None,
    details: dict[str, object] | None = None,
    **fields: object,
) -> None:
    """Fill a declared error; raises `TypeError` for a missing or an unknown field."""
    try:
        values = self.fields_type(**fields)
    except TypeError as error:
        raise TypeError(f"{type(self).__name__}: {error}") from None
    self._fill(message, certainty, error_id, details)
    self.__dict__.update(msgspec.structs.asdict(values))


def _rebuild(cls: type[RpcError], args: tuple[object, ...]) -> RpcError:
    return cls.__new__(cls, *args)


def fields_of(error: RpcError) -> dict[str, object]:
    """Return the declared fields of `error` with their values, in the order of declaration."""
    return {name: getattr(error, name) for name in error.fields_type.__struct_fields__}


def _own_fields(cls: type) -> dict[str, Any]:
    annotations = inspect.get_annotations(cls)
    return {name: hint for name, hint in annotations.items() if not is_class_variable(hint)}


def _problems(cls: type[RpcError], annotations: dict[str, Any]) -> list[str]:
    problems = []
    if not hasattr(cls, "code"):
        problems.append(
            f"has no code; write `class {cls.__name__}(RpcError, code=Code.NOT_FOUND)`,"
            " with the code that fits"
        )
    if "__init__" in cls.__dict__:
        problems.append("has an `__init__`; its constructor is made from its fields: remove it")
    problems.extend(
        f"field '{name}' has a name that every error uses, or a private one; rename it"
        for name in annotations
        if name.startswith("_") or name == "code" or hasattr(RpcError, name)
    )
    return problems


def _struct(cls: type[RpcError], annotations: dict[str, Any]) -> type[msgspec.Struct]:
    absent = object()
    defaults = {name: cls.__dict__.get(name, absent) for name in annotations}
    fields = [
        (name, hint) if defaults[name] is absent else (name, hint, defaults[name])
        for name, hint in annotations.items()
    ]
    parents = tuple(base.fields_type for base in cls.__bases__ if issubclass(base, RpcError))
    return msgspec.defstruct(
        cls.__name__, fields, bases=parents, module=cls.__module__, kw_only=True, frozen=True
    )


class DeadlineExceeded(RpcError, code=Code.DEADLINE_EXCEEDED):
    """The time ran out before the call ended; the message says how far it had got."""


class Cancelled(RpcError, code=Code.CANCELLED):
    """The caller gave the call up, or closed the channel it was made on."""


class Unavailable(RpcError, code=Code.UNAVAILABLE):
    """Nobody could serve the call: not sent, no server, or a server that is going down."""


class Overloaded(RpcError, code=Code.RESOURCE_EXHAUSTED):
    """The call was shed at a limit before it ran; try again after a pause."""


class Unimplemented(RpcError, code=Code.UNIMPLEMENTED):
    """The server that got the call has no such service or method."""


class InvalidArgument(RpcError, code=Code.INVALID_ARGUMENT):
    """The arguments do not fit the contract; the message has the path to what is wrong."""


class InternalError(RpcError, code=Code.INTERNAL):
    """The handler raised what its contract does not declare; `error_id` finds it in the logs."""


class Unauthenticated(RpcError, code=Code.UNAUTHENTICATED):
    """Who is calling is not known, or not proved."""


class PermissionDenied(RpcError, code=Code.PERMISSION_DENIED):
    """The caller is known and may not do this."""


LIBRARY_ERRORS: Final[dict[str, type[RpcError]]] = {
    error.wire_name: error
    for error in (
        DeadlineExceeded,
        Cancelled,
        Unavailable,
        Overloaded,
        Unimplemented,
        InvalidArgument,
        InternalError,
        Unauthenticated,
        PermissionDenied,
    )
}
"""The errors that the library makes, by their name on the wire."""
