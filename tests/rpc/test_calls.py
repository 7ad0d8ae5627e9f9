"""The table of pending calls: each ends exactly once, whatever comes in whatever order."""

import math

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from rpc.calls import PendingCalls


class One(msgspec.Struct, eq=False):
    """A call, as far as the table knows it."""

    call_id: bytes
    due: float = 1.0
    body: bytes = b""


def test_a_call_is_taken_by_whoever_asks_first():
    calls, call = PendingCalls(limit=2), One(b"a")
    calls.register(call)

    assert calls.get(b"a") is call
    assert calls.take(b"a") is call
    assert calls.take(b"a") is None
    assert calls.get(b"a") is None
    assert len(calls) == 0


def test_at_the_limit_there_is_no_room():
    calls = PendingCalls(limit=1)
    before = calls.full(0)
    calls.register(One(b"a"))

    assert before is None
    assert calls.full(0) == "1 calls of this channel are pending already (max_pending)"
    assert len(calls) == 1
    assert calls.next_due() == 1.0


def test_arguments_are_counted_in_bytes_until_their_call_ends():
    calls = PendingCalls(limit=9, max_bytes=100)
    calls.register(One(b"a", body=bytes(60)))
    calls.register(One(b"b", body=bytes(40)))
    full = calls.full(1)
    calls.take(b"a")

    assert "100 bytes of arguments are pending" in full
    assert "max_pending_bytes" in full
    assert calls.full(60) is None
    assert calls.full(61) is not None
    assert calls.take(b"b") is not None
    assert calls.bytes == 0


def test_one_call_passes_however_large_where_none_is_pending():
    calls, large = PendingCalls(limit=9, max_bytes=100), One(b"a", body=bytes(1000))
    before = calls.full(1000)
    calls.register(large)

    assert before is None
    assert calls.full(0) is not None
    assert calls.drain() == [large]
    assert calls.bytes == 0


def test_an_id_that_is_pending_is_refused_and_the_first_call_stays():
    calls, first = PendingCalls(limit=5), One(b"a")
    calls.register(first)
    with pytest.raises(ValueError, match="61 is pending already"):
        calls.register(One(b"a", due=9.0))

    assert calls.take(b"a") is first
    assert calls.next_due() is None


def test_an_id_may_come_again_once_its_call_has_ended():
    calls, second = PendingCalls(limit=1), One(b"a", due=5.0)
    calls.register(One(b"a"))
    calls.take(b"a")
    calls.register(second)

    assert calls.due(1.0) == []
    assert calls.due(5.0) == [second]


def test_what_is_due_stays_pending_and_is_told_once():
    calls, call = PendingCalls(limit=1), One(b"a")
    calls.register(call)

    assert calls.due(0.9) == []
    assert calls.due(1.0) == [call]
    assert calls.due(9.0) == []
    assert calls.take(b"a") is call


def test_a_call_that_is_moved_is_due_then_and_no_sooner():
    calls, early, late = PendingCalls(limit=2), One(b"a", due=5.0), One(b"b", due=1.0)
    calls.register(early)
    calls.register(late)
    calls.move(early, 2.0)
    calls.move(late, 4.0)

    assert calls.next_due() == 2.0
    assert calls.due(3.0) == [early]
    assert calls.due(9.0) == [late]


def test_of_many_that_are_due_the_first_ones_can_be_had_by_themselves():
    calls, some = PendingCalls(limit=9), [One(b"%d" % n, due=float(n)) for n in range(5)]
    for call in reversed(some):
        calls.register(call)

    assert calls.due(3.0, 2) == some[:2]
    assert calls.due(3.0, 9) == some[2:4]


def test_drain_returns_what_is_left_and_leaves_nothing_due():
    calls = PendingCalls(limit=9)
    left = [One(b"%d" % number, float(number)) for number in range(3)]
    for call in left:
        calls.register(call)

    assert calls.drain() == left
    assert calls.drain() == []
    assert calls.next_due() is None


def test_what_ended_before_it_was_due_does_not_pile_up():
    calls = PendingCalls(limit=10)
    for number in range(10_000):
        calls.register(One(b"%d" % number, due=1e9 + number))
        calls.take(b"%d" % (number - 5))

    assert len(calls) == 5
    assert len(calls._heap) <= 65


class EveryCallEndsOnce(RuleBasedStateMachine):
    """Register, move, reply, fail, cancel, expire and close in any order, beside a plain dict."""

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
        call = One(b"%d" % self.registered, self.now + after, b"xxx")
        self.registered += 1
        if len(self.pending) == self.LIMIT:
            assert self.calls.full(3) is not None
        else:
            assert self.calls.full(3) is None
            self.calls.register(call)
            self.pending[call] = call.due
        return call

    @rule(call=ids)
    def end(self, call):
        """A reply, a failed send and a cancellation all end a call in this way."""
        taken = self.calls.take(call.call_id)
        assert taken is (call if self.pending.pop(call, None) is not None else None)
        self.ended += [taken] if taken else []

    @rule(call=ids, after=st.floats(0, 5))
    def move(self, call, after):
        if call in self.pending:
            self.calls.move(call, self.now + after)
            self.pending[call] = self.now + after

    @rule(by=st.floats(0, 5), ends=st.booleans())
    def expire(self, by, ends):
        """Of what is due, some calls end, and others go on until they are moved again."""
        self.now += by
        due = self.calls.due(self.now)
        assert due == sorted(due, key=lambda call: (self.pending[call], call.call_id))
        assert set(due) == {call for call, at in self.pending.items() if at <= self.now}
        for call in due:
            if ends:
                assert self.calls.take(call.call_id) is call
                del self.pending[call]
                self.ended.append(call)
            else:
                self.pending[call] = math.inf

    @rule()
    def drain(self):
        drained = self.calls.drain()
        assert set(drained) == set(self.pending)
        self.pending.clear()
        self.ended += drained

    @invariant()
    def agree(self):
        assert set(self.calls) == set(self.pending)
        assert len(self.calls) == len(self.pending) <= self.LIMIT
        assert len(self.ended) == len(set(self.ended))
        assert self.calls.bytes == 3 * len(self.pending)
        moments = [at for at in self.pending.values() if at < math.inf]
        assert self.calls.next_due() == min(moments, default=None)


TestEveryCallEndsOnce = EveryCallEndsOnce.TestCase
TestEveryCallEndsOnce.settings = settings(max_examples=40, stateful_step_count=40)
