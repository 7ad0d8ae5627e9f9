"""The table of pending calls: each ends exactly once, whatever comes in whatever order."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from rpc.calls import PendingCalls


def test_a_call_is_taken_by_whoever_asks_first():
    calls = PendingCalls(limit=2)
    calls.register(b"a", "call", 1.0)

    assert calls.get(b"a") == "call"
    assert calls.take(b"a") == "call"
    assert calls.take(b"a") is None
    assert calls.get(b"a") is None
    assert len(calls) == 0


def test_at_the_limit_there_is_no_room():
    calls = PendingCalls(limit=1)
    before = calls.full(0)
    calls.register(b"a", "first", 1.0)

    assert before is None
    assert calls.full(0) == "1 calls of this channel are pending already (max_pending)"
    assert len(calls) == 1
    assert calls.next_deadline() == 1.0


def test_arguments_are_counted_in_bytes_until_their_call_ends():
    calls = PendingCalls(limit=9, max_bytes=100)
    calls.register(b"a", "first", 1.0, size=60)
    calls.register(b"b", "second", 2.0, size=40)
    full = calls.full(1)
    calls.take(b"a")

    assert "100 bytes of arguments are pending" in full
    assert "max_pending_bytes" in full
    assert calls.full(60) is None
    assert calls.full(61) is not None
    assert calls.expire(2.0) == ["second"]
    assert calls.bytes == 0


def test_one_call_passes_however_large_where_none_is_pending():
    calls = PendingCalls(limit=9, max_bytes=100)
    before = calls.full(1000)
    calls.register(b"a", "large", 1.0, size=1000)

    assert before is None
    assert calls.full(0) is not None
    assert calls.drain() == ["large"]
    assert calls.bytes == 0


def test_an_id_that_is_pending_is_refused_and_the_first_call_stays():
    calls = PendingCalls(limit=5)
    calls.register(b"a", "first", 1.0)
    with pytest.raises(ValueError, match="61 is pending already"):
        calls.register(b"a", "second", 9.0)

    assert calls.take(b"a") == "first"
    assert calls.next_deadline() is None


def test_an_id_may_come_again_once_its_call_has_ended():
    calls = PendingCalls(limit=1)
    calls.register(b"a", "first", 1.0)
    calls.take(b"a")
    calls.register(b"a", "second", 5.0)

    assert calls.expire(1.0) == []
    assert calls.expire(5.0) == ["second"]


def test_drain_returns_what_is_left_and_leaves_no_deadline():
    calls = PendingCalls(limit=9)
    for number in range(3):
        calls.register(b"%d" % number, number, float(number))

    assert calls.drain() == [0, 1, 2]
    assert calls.drain() == []
    assert calls.next_deadline() is None


class EveryCallEndsOnce(RuleBasedStateMachine):
    """Register, reply, fail, cancel, expire and close in any order, beside a plain dict."""

    LIMIT = 4
    ids = Bundle("ids")

    def __init__(self):
        super().__init__()
        self.calls = PendingCalls(self.LIMIT)
        self.pending = {}
        self.ended = []
        self.now = 0.0
        self.registered = 0

    @rule(target=ids, after=st.floats(0, 5))
    def register(self, after):
        call_id = b"%d" % self.registered
        self.registered += 1
        if len(self.pending) == self.LIMIT:
            assert self.calls.full(3) is not None
        else:
            assert self.calls.full(3) is None
            self.calls.register(call_id, call_id, self.now + after, 3)
            self.pending[call_id] = self.now + after
        return call_id

    @rule(call_id=ids)
    def end(self, call_id):
        """A reply, a failed send and a cancellation all end a call in this way."""
        taken = self.calls.take(call_id)
        assert taken == (call_id if self.pending.pop(call_id, None) is not None else None)
        self.ended += [taken] if taken else []

    @rule(by=st.floats(0, 5))
    def expire(self, by):
        self.now += by
        expired = self.calls.expire(self.now)
        assert set(expired) == {one for one, at in self.pending.items() if at <= self.now}
        self.pending = {one: at for one, at in self.pending.items() if at > self.now}
        self.ended += expired

    @rule()
    def drain(self):
        drained = self.calls.drain()
        assert set(drained) == set(self.pending)
        self.pending.clear()
        self.ended += drained

    @invariant()
    def agree(self):
        assert len(self.calls) == len(self.pending) <= self.LIMIT
        assert len(self.ended) == len(set(self.ended))
        assert self.calls.bytes == 3 * len(self.pending)
        assert self.calls.next_deadline() == min(self.pending.values(), default=None)


TestEveryCallEndsOnce = EveryCallEndsOnce.TestCase
TestEveryCallEndsOnce.settings = settings(max_examples=40, stateful_step_count=40)
