"""Refusals that are remembered."""

import pytest

from rpc.refusal import Refusals, busy
from rpc.request import decode_request


@pytest.fixture
def attempt(request_of):
    def make(call, number=1):
        message = request_of(call=call, method=b"Ledger.pay", attempt=b"%d" % number)
        return decode_request(message)

    return make


def test_an_attempt_is_remembered_and_the_next_one_is_another(attempt):
    refusals, refusal = Refusals(10), busy("Ledger.pay", "no room")
    refusals.note(attempt(b"a"), refusal)

    assert refusals.of(attempt(b"a")) is refusal
    assert refusals.of(attempt(b"a", 2)) is None
    assert refusals.of(attempt(b"b")) is None


def test_the_oldest_are_forgotten(attempt):
    refusals, refusal = Refusals(2), busy("Ledger.pay", "no room")
    for call in (b"a", b"b", b"c"):
        refusals.note(attempt(call), refusal)

    assert [refusals.of(attempt(call)) for call in (b"a", b"b", b"c")] == [None, refusal, refusal]
