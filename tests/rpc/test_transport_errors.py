"""What a transport's error means to a call."""

import pytest

from contracts import Certainty, Code
from rpc.transport_errors import to_rpc_error
from transports import errors

NOT_EXECUTED = Certainty.NOT_EXECUTED

MEANING = [
    (errors.TransportClosed, Code.UNAVAILABLE, NOT_EXECUTED),
    (errors.Unreachable, Code.UNAVAILABLE, NOT_EXECUTED),
    (errors.NotAuthenticated, Code.UNAUTHENTICATED, NOT_EXECUTED),
    (errors.NotAuthorized, Code.PERMISSION_DENIED, NOT_EXECUTED),
    (errors.AddressUnknown, Code.UNAVAILABLE, NOT_EXECUTED),
    (errors.MessageTooLarge, Code.RESOURCE_EXHAUSTED, NOT_EXECUTED),
    (errors.MessageRefused, Code.UNAVAILABLE, NOT_EXECUTED),
    (errors.SendUncertain, Code.UNAVAILABLE, Certainty.UNKNOWN),
    (errors.ConfigurationError, Code.INTERNAL, NOT_EXECUTED),
    (errors.TransportError, Code.UNAVAILABLE, NOT_EXECUTED),
]


@pytest.mark.parametrize(("kind", "code", "certainty"), MEANING)
def test_each_error_of_a_transport_has_a_code_and_a_certainty(kind, code, certainty):
    cause = kind("topic 'users.requests' is gone; create it")
    error = to_rpc_error(cause, "UserService.get")

    assert (error.code, error.certainty) == (code, certainty)
    assert error.message == "UserService.get: topic 'users.requests' is gone; create it"
    assert error.__cause__ is cause


def test_no_error_of_a_transport_is_left_out():
    assert {kind.__name__ for kind, _, _ in MEANING} == set(errors.__all__)
