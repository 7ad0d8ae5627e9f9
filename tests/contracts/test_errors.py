import copy
import pickle
from typing import ClassVar

import msgspec
import pytest

from contracts import (
    Cancelled,
    Certainty,
    Code,
    ContractError,
    DeadlineExceeded,
    InternalError,
    InvalidArgument,
    Mistake,
    Overloaded,
    PermissionDenied,
    RpcError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)


class UserNotFound(RpcError, code=Code.NOT_FOUND):
    """No such user."""

    table: ClassVar[str] = "users"

    user_id: int
    tried: list[str] = msgspec.field(default_factory=list)


class TenantUserNotFound(UserNotFound, name="users.tenant-user-not-found"):
    tenant: str = "main"


class Gone(UserNotFound, code=Code.FAILED_PRECONDITION):
    pass


LIBRARY = [
    (DeadlineExceeded, Code.DEADLINE_EXCEEDED),
    (Cancelled, Code.CANCELLED),
    (Unavailable, Code.UNAVAILABLE),
    (Overloaded, Code.RESOURCE_EXHAUSTED),
    (Unimplemented, Code.UNIMPLEMENTED),
    (InvalidArgument, Code.INVALID_ARGUMENT),
    (InternalError, Code.INTERNAL),
    (Unauthenticated, Code.UNAUTHENTICATED),
    (PermissionDenied, Code.PERMISSION_DENIED),
]

EXAMPLES = [
    UserNotFound(user_id=42, message="no user 42", tried=["a", "b"]),
    TenantUserNotFound(user_id=1, tenant="x", certainty=Certainty.UNKNOWN),
    RpcError(code=Code.ABORTED, message="again", details={"row": 7}, error_id="e1"),
    Unavailable(message="gone", certainty=Certainty.NOT_EXECUTED, details={"topic": "t"}),
]


@pytest.mark.parametrize(("error", "code"), LIBRARY)
def test_an_error_of_the_library_has_its_code_and_takes_what_it_is_told(error, code):
    raised = error(message="m", certainty=Certainty.NOT_EXECUTED, details={"n": 1})

    assert error.code is raised.code is code
    assert (raised.message, raised.certainty) == ("m", Certainty.NOT_EXECUTED)
    assert (raised.details, raised.error_id) == ({"n": 1}, None)
    assert isinstance(raised, RpcError)


def test_a_declared_error_takes_its_fields_by_name():
    error = UserNotFound(user_id=42, message="no user 42")

    assert (error.user_id, error.tried, error.message) == (42, [], "no user 42")
    assert (error.code, error.certainty) == (Code.NOT_FOUND, Certainty.EXECUTED)
    assert (UserNotFound.wire_name, UserNotFound.table) == ("UserNotFound", "users")


def test_a_declared_error_inherits_fields_and_code_and_may_have_a_name_of_its_own():
    error = TenantUserNotFound(user_id=1)

    assert (error.user_id, error.tenant, error.code) == (1, "main", Code.NOT_FOUND)
    assert TenantUserNotFound.wire_name == "users.tenant-user-not-found"
    assert (Gone.code, Gone.wire_name) == (Code.FAILED_PRECONDITION, "Gone")


def test_default_factories_are_called_for_each_error():
    first, second = UserNotFound(user_id=1), UserNotFound(user_id=2)
    first.tried.append("x")

    assert second.tried == []


def test_an_undeclared_error_carries_its_code():
    error = RpcError(code=Code.ABORTED, message="again")

    assert (error.code, error.message, error.details) == (Code.ABORTED, "again", {})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "UserNotFound: Missing required argument 'user_id'"),
        ({"user_id": 1, "usr": 2}, "UserNotFound: Unexpected keyword argument 'usr'"),
    ],
)
def test_wrong_fields_are_refused_by_name(arguments, text):
    with pytest.raises(TypeError) as caught:
        UserNotFound(**arguments)

    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            UserNotFound(user_id=42, message="no user 42"),
            "NOT_FOUND: no user 42 (user_id=42, tried=[]) [EXECUTED]",
        ),
        (Gone(user_id=1), "FAILED_PRECONDITION: Gone (user_id=1, tried=[]) [EXECUTED]"),
        (
            RpcError(code=Code.ABORTED, message="again", details={"row": 7}),
            "ABORTED: again (row=7) [EXECUTED]",
        ),
        (
            InternalError(message="failed", error_id="5f2", certainty=Certainty.UNKNOWN),
            "INTERNAL: failed [error id 5f2] [UNKNOWN]",
        ),
    ],
)
def test_its_text_says_code_message_fields_id_and_certainty(error, text):
    assert str(error) == text


@pytest.mark.parametrize(
    "duplicate",
    [
        lambda error: pickle.loads(pickle.dumps(error)),
        copy.copy,
        copy.deepcopy,
    ],
)
@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_can_be_pickled_and_copied(error, duplicate):
    other = duplicate(error)

    assert other is not error
    assert type(other) is type(error)
    assert (vars(other), other.args, str(other)) == (vars(error), error.args, str(error))
    assert other.code is error.code


def test_notes_and_tracebacks_work_as_on_any_exception():
    with pytest.raises(UserNotFound) as caught:
        raise UserNotFound(user_id=1) from KeyError("x")
    caught.value.add_note("while listing")

    assert caught.value.__notes__ == ["while listing"]
    assert isinstance(caught.value.__cause__, KeyError)


def _class(name="Broken", bases=(RpcError,), fields=None, /, **rest):
    body = rest.pop("body", {})
    return type(name, bases, {"__annotations__": fields or {}, **body}, **rest)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            _class,
            (
                "error Broken: has no code; write `class Broken(RpcError, code=Code.NOT_FOUND)`,"
                " with the code that fits"
            ),
        ),
        (
            lambda: _class("Broken", (RpcError,), {"details": int}, code=Code.ABORTED),
            (
                "error Broken: field 'details' has a name that every error uses, or a private one;"
                " rename it"
            ),
        ),
        (
            lambda: _class(code=Code.ABORTED, body={"__init__": lambda self: None}),
            "error Broken: has an `__init__`; its constructor is made from its fields: remove it",
        ),
    ],
)
def test_what_cannot_be_an_error_is_refused_when_its_class_is_made(make, text):
    with pytest.raises(ContractError) as caught:
        make()

    assert str(caught.value) == text


@pytest.mark.parametrize(
    "field", ["code", "message", "certainty", "args", "add_note", "wire_name", "_hidden"]
)
def test_a_field_named_as_what_every_error_has_is_refused(field):
    with pytest.raises(ContractError, match=f"field '{field}' has a name that every error uses"):
        _class("Broken", (RpcError,), {field: int}, code=Code.ABORTED)


def test_a_default_that_is_shared_and_can_change_is_refused():
    with pytest.raises(ContractError, match="error Broken: Using a non-empty mutable collection"):
        _class("Broken", (RpcError,), {"x": list[int]}, code=Code.ABORTED, body={"x": [1]})


def test_a_contract_error_carries_the_place_of_its_first_mistake():
    error = ContractError(Mistake("is wrong", "Users", "get", "user_id"), Mistake("too", "Users"))

    assert (error.service, error.method, error.parameter) == ("Users", "get", "user_id")
    assert str(error) == (
        "2 mistakes:\n  1. Users.get, parameter 'user_id': is wrong\n  2. Users: too"
    )
    assert isinstance(error, TypeError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
