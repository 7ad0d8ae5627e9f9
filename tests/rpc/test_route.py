"""What a reply says, read by the route of its method."""

from typing import Protocol

import msgspec
import pytest

from contracts import (
    JSON,
    MSGPACK,
    NO_RETRY,
    Certainty,
    Code,
    ErrorBody,
    InternalError,
    RpcError,
    describe,
    method,
    to_wire,
)
from rpc.peer import Peer
from rpc.reply import Reply
from rpc.route import Route, request_address
from transports.base import Address


class User(msgspec.Struct, frozen=True):
    id: int
    name: str


class NoSuchUserError(RpcError, code=Code.NOT_FOUND):
    user_id: int


class Users(Protocol):
    @method(raises=[NoSuchUserError])
    def get(self, user_id: int) -> User | None: ...


@pytest.fixture
def route():
    return Route(
        describe(Users).methods["get"], JSON, 1.0, NO_RETRY, Peer("Users", "Users.requests")
    )


def reply(body, code=None, content_type=b"application/json"):
    return Reply(b"id", None, None, code, content_type, body)


ADA = User(1, "Ada")


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (reply(b'{"id":1,"name":"Ada"}'), ADA),
        (reply(b'{"id":1,"name":"Ada","new":true}'), ADA),
        (reply(b"null"), None),
        (reply(MSGPACK.encode(ADA), content_type=b"application/msgpack"), ADA),
        (reply(b'{"id":1,"name":"Ada"}', content_type=None), ADA),
        (reply(b'{"id":1,"name":"Ada"}', content_type=b"application/json; charset=utf-8"), ADA),
    ],
)
def test_a_result_is_of_the_contracts_own_type_in_whatever_codec_it_came(route, answer, value):
    assert route.read(answer).unwrap() == value


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
def test_a_declared_error_is_of_its_own_class(route, codec):
    body = codec.encode(to_wire(NoSuchUserError(user_id=7, message="no user 7")))
    error = route.read(reply(body, Code.NOT_FOUND, codec.content_type.encode())).error

    assert isinstance(error, NoSuchUserError)
    assert (error.user_id, error.message, error.certainty) == (7, "no user 7", Certainty.EXECUTED)


def test_an_error_that_is_not_declared_keeps_its_code_and_its_details(route):
    body = ErrorBody("ABORTED", "Conflict", "try again", {"version": 3}, "EXECUTED")
    error = route.read(reply(JSON.encode(body), Code.ABORTED)).error

    assert type(error) is RpcError
    assert (error.code, error.wire_name, error.details) == (
        Code.ABORTED, "Conflict", {"version": 3},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "told", "certainty"),
    [
        (reply(b'{"id":"1","name":"Ada"}'), r"Expected `int`.*\$\.id", Certainty.EXECUTED),
        (reply(b"{"), "result does not fit", Certainty.EXECUTED),
        (reply(b"1", content_type=b"text/xml"), "no codec for 'text/xml'", Certainty.EXECUTED),
        (reply(b"1", content_type=b"\xff\xfe"), "no codec for", Certainty.EXECUTED),
        (reply(b"", Code.NOT_FOUND), "NOT_FOUND error does not fit", Certainty.UNKNOWN),
        (reply(b"[]", Code.INTERNAL), "INTERNAL error does not fit", Certainty.UNKNOWN),
    ],
)
def test_what_does_not_fit_the_contract_is_an_internal_error(route, answer, told, certainty):
    error = route.read(answer).error

    assert isinstance(error, InternalError)
    assert error.certainty is certainty
    with pytest.raises(InternalError, match=f"Users.get: the server's .*{told}"):
        raise error


def test_requests_of_a_service_go_to_one_topic(route):
    assert route.address == request_address("Users") == Address("Users.requests")
