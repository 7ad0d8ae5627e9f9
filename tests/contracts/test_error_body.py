import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import (
    JSON,
    MSGPACK,
    Certainty,
    Code,
    EncodeError,
    ErrorBody,
    InternalError,
    RpcError,
    Unavailable,
    from_wire,
    to_wire,
)
from contracts.errors import fields_of


class Owner(msgspec.Struct, frozen=True):
    id: int
    photo: bytes


class UserNotFound(RpcError, code=Code.NOT_FOUND):
    user_id: int
    owner: Owner | None = None


DECLARED = {"UserNotFound": UserNotFound}

GOLDEN = [
    (
        UserNotFound(user_id=42, message="no user 42"),
        (
            b'{"code":"NOT_FOUND","type":"UserNotFound","message":"no user 42",'
            b'"details":{"user_id":42,"owner":null},"certainty":"EXECUTED"}'
        ),
    ),
    (
        UserNotFound(user_id=1, owner=Owner(2, b"\x00\xff"), details={"hint": "x"}),
        (
            b'{"code":"NOT_FOUND","type":"UserNotFound","message":"",'
            b'"details":{"hint":"x","user_id":1,"owner":{"id":2,"photo":"AP8="}},'
            b'"certainty":"EXECUTED"}'
        ),
    ),
    (
        InternalError(message="failed", error_id="5f2a"),
        (
            b'{"code":"INTERNAL","type":"InternalError","message":"failed","details":{},'
            b'"certainty":"EXECUTED","error_id":"5f2a"}'
        ),
    ),
    (
        RpcError(code=Code.ABORTED, message="again", certainty=Certainty.UNKNOWN),
        (
            b'{"code":"ABORTED","type":"RpcError","message":"again","details":{},'
            b'"certainty":"UNKNOWN"}'
        ),
    ),
]


@pytest.mark.parametrize(("error", "body"), GOLDEN)
def test_the_form_on_the_wire_is_fixed(error, body):
    assert JSON.encode(to_wire(error)) == body


def test_the_form_in_msgpack_is_fixed():
    body = MSGPACK.encode(to_wire(Unavailable(message="m", certainty=Certainty.NOT_EXECUTED)))

    assert body == (
        b"\x85\xa4code\xabUNAVAILABLE\xa4type\xabUnavailable\xa7message\xa1m"
        b"\xa7details\x80\xa9certainty\xacNOT_EXECUTED"
    )


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
@pytest.mark.parametrize(("error", "body"), GOLDEN)
def test_an_error_arrives_as_its_own_class_with_its_fields(error, body, codec):
    arrived = from_wire(codec.decoder(ErrorBody)(codec.encode(to_wire(error))), DECLARED)

    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert (arrived.wire_name, arrived.details) == (error.wire_name, error.details)
    assert fields_of(arrived) == fields_of(error)


def test_an_error_that_is_not_declared_keeps_all_but_its_class():
    arrived = from_wire(to_wire(UserNotFound(user_id=42, message="no user 42")), {})

    assert type(arrived) is RpcError
    assert (arrived.code, arrived.message) == (Code.NOT_FOUND, "no user 42")
    assert arrived.details == {"user_id": 42, "owner": None}
    assert arrived.wire_name == "UserNotFound"
    assert to_wire(arrived) == to_wire(UserNotFound(user_id=42, message="no user 42"))


@pytest.mark.parametrize(
    ("body", "code", "certainty"),
    [
        (ErrorBody(code="NOT_FOUND", type="UserNotFound"), Code.NOT_FOUND, Certainty.UNKNOWN),
        (
            ErrorBody(code="NOT_FOUND", type="UserNotFound", details={"user_id": "x"}),
            Code.NOT_FOUND,
            Certainty.UNKNOWN,
        ),
        (
            ErrorBody(code="ABORTED", type="UserNotFound", details={"user_id": 1}),
            Code.ABORTED,
            Certainty.UNKNOWN,
        ),
        (ErrorBody(code="BRAND_NEW", certainty="EXECUTED"), Code.UNKNOWN, Certainty.EXECUTED),
        (ErrorBody(code="OK", certainty="SURELY"), Code.UNKNOWN, Certainty.UNKNOWN),
        (ErrorBody(code="ABORTED", type="Unavailable"), Code.ABORTED, Certainty.UNKNOWN),
    ],
)
def test_what_does_not_fit_arrives_plain_with_its_details(body, code, certainty):
    arrived = from_wire(body, DECLARED)

    assert type(arrived) is RpcError
    assert (arrived.code, arrived.certainty) == (code, certainty)
    assert arrived.details == body.details


def test_fields_of_a_newer_peer_are_kept_as_details():
    body = ErrorBody(code="NOT_FOUND", type="UserNotFound", details={"user_id": 1, "new": [2]})

    arrived = from_wire(body, DECLARED)

    assert isinstance(arrived, UserNotFound)
    assert (arrived.user_id, arrived.details) == (1, {"new": [2]})


class Renamed(RpcError, code=Code.NOT_FOUND):
    user_id: int = msgspec.field(name="userId")
    left: int | msgspec.UnsetType = msgspec.UNSET


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=["json", "msgpack"])
def test_a_field_with_another_name_on_the_wire_goes_by_it(codec):
    error = Renamed(user_id=3, details={"user_id": "a detail"})

    body = codec.decoder(ErrorBody)(codec.encode(to_wire(error)))
    arrived = from_wire(body, {"Renamed": Renamed})

    assert body.details == {"user_id": "a detail", "userId": 3}
    assert type(arrived) is Renamed
    assert fields_of(arrived) == {"user_id": 3, "left": msgspec.UNSET}
    assert arrived.details == {"user_id": "a detail"}


class Unmade(RpcError, code=Code.NOT_FOUND):
    user_id: int

    def __new__(cls, *args, **kwargs):
        raise LookupError


def test_a_class_that_can_not_be_made_arrives_plain():
    body = ErrorBody(code="NOT_FOUND", type="Unmade", details={"user_id": 1})

    arrived = from_wire(body, {"Unmade": Unmade})

    assert type(arrived) is RpcError
    assert (arrived.wire_name, arrived.details) == ("Unmade", {"user_id": 1})


def test_a_body_with_a_code_alone_can_be_read():
    body = JSON.decoder(ErrorBody)(b'{"code":"ABORTED","later":1}')

    assert body == ErrorBody(code="ABORTED", type="", message="", details={}, certainty="UNKNOWN")


@pytest.mark.parametrize("value", [object(), 1j], ids=["object", "complex"])
def test_a_field_that_cannot_travel_is_an_encode_error_without_its_value(value):
    with pytest.raises(EncodeError) as caught:
        to_wire(UserNotFound(user_id=value))

    assert str(caught.value) == "UserNotFound cannot travel: TypeError in its details"


def without_its_field():
    error = UserNotFound(user_id=1)
    del error.user_id
    return error


@pytest.mark.parametrize(
    "error",
    [
        RpcError(code=Code.NOT_FOUND, details=["a"]),
        UserNotFound(user_id=1, details=[("a", 1)]),
        without_its_field(),
    ],
    ids=["details", "pairs", "field"],
)
def test_an_error_that_is_not_whole_is_an_encode_error_so_that_its_caller_is_told(error):
    with pytest.raises(EncodeError, match=r"cannot travel: [A-Za-z]+Error in its details"):
        to_wire(error)


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    code=st.sampled_from([*Code, "", "X"]),
    name=st.sampled_from(["", "RpcError", "UserNotFound", "Unavailable", "Zzz"]),
    details=st.dictionaries(st.sampled_from(["user_id", "owner", "code", "message", "x"]), plain),
    certainty=st.sampled_from([*Certainty, "", "y"]),
    error_id=st.none() | st.text(max_size=3),
)
def test_any_body_becomes_an_error_and_nothing_is_lost(code, name, details, certainty, error_id):
    identity = msgspec.UNSET if error_id is None else error_id
    body = ErrorBody(code, name, "m", details, certainty, identity)

    arrived = from_wire(body, DECLARED)

    assert isinstance(arrived, RpcError)
    assert (arrived.message, arrived.error_id) == ("m", error_id)
    assert to_wire(arrived).details.items() >= details.items()
