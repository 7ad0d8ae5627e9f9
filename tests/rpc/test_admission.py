"""Whether a request is run: by its time, by the load, by what is known of its call id."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rpc.admission import Admission, Admitted, Verdict
from transports.base import Message

A, B = ("client", b"a"), ("client", b"b")
REPLY = Message(b"reply")


@pytest.fixture
def admission():
    return Admission(limit=2, remembered=2, remembered_bytes=100)


def test_a_request_runs_and_its_duplicate_joins_it(admission):
    assert admission.admit(A, "first", 1.0) == Admitted(Verdict.RUN)
    assert admission.admit(A, "again", 1.0) == Admitted(Verdict.JOIN, running="first")
    assert admission.running(A) == "first"


def test_an_answered_request_is_answered_again_and_does_not_run(admission):
    admission.admit(A, "first", 1.0)
    admission.finish(A, REPLY, remember=True)

    assert admission.running(A) is None
    assert admission.admit(A, "again", -1.0) == Admitted(Verdict.REPEAT, reply=REPLY)
    assert len(admission) == 0


def test_an_answer_that_invites_to_try_again_is_not_repeated(admission):
    admission.admit(A, "first", 1.0)
    admission.finish(A, REPLY, remember=False)

    assert admission.admit(A, "again", 1.0).verdict is Verdict.RUN


@pytest.mark.parametrize("remaining", [0.0, -0.001, -1e9])
def test_a_request_without_time_left_is_not_started(admission, remaining):
    assert admission.admit(A, "late", remaining) == Admitted(Verdict.EXPIRED)
    assert len(admission) == 0


def test_beyond_the_limit_requests_are_shed_until_one_ends(admission):
    admission.admit(A, 1, 1.0)
    admission.admit(B, 2, 1.0)
    shed = admission.admit(("client", b"c"), 3, 1.0)
    admission.finish(A, REPLY, remember=True)

    assert shed == Admitted(Verdict.SHED)
    assert admission.admit(("client", b"c"), 3, 1.0).verdict is Verdict.RUN


def test_one_client_cannot_claim_the_call_of_another(admission):
    admission.admit(("one", b"a"), "one", 1.0)

    assert admission.admit(("two", b"a"), "two", 1.0).verdict is Verdict.RUN
    assert admission.admit((None, b"a"), "none", 1.0).verdict is Verdict.SHED


def test_an_abandoned_call_may_run_again(admission):
    admission.admit(A, "first", 1.0)
    admission.abandon(A)

    assert admission.admit(A, "again", 1.0).verdict is Verdict.RUN


def test_finishing_twice_changes_nothing(admission):
    admission.admit(A, "first", 1.0)
    admission.finish(A, REPLY, remember=True)
    admission.finish(A, Message(b"another"), remember=True)
    admission.finish(B, Message(b"never ran"), remember=True)

    assert admission.admit(A, "again", 1.0).reply == REPLY
    assert admission.admit(B, "b", 1.0).verdict is Verdict.RUN


@pytest.mark.parametrize(
    "reply",
    [
        Message(b"x" * 40),
        Message(b"", (), b"k" * 40),
        Message(b"x" * 20, (), b"k" * 20),
    ],
    ids=["body", "key", "both"],
)
def test_replies_are_remembered_up_to_a_size_of_body_and_key(reply):
    admission = Admission(limit=9, remembered=100, remembered_bytes=100)
    keys = [("client", b"%d" % n) for n in range(5)]
    for key in keys:
        admission.admit(key, "job", 1.0)
        admission.finish(key, reply, remember=True)
    verdicts = [admission.admit(key, "job", 1.0).verdict for key in keys]

    assert verdicts == [Verdict.RUN] * 3 + [Verdict.REPEAT] * 2


def test_a_reply_that_is_larger_than_all_the_memory_displaces_nothing(admission):
    for key, body in ((A, b"small"), (B, b"x" * 200)):
        admission.admit(key, "job", 1.0)
        admission.finish(key, Message(body), remember=True)

    assert admission.admit(A, "job", 1.0).verdict is Verdict.REPEAT
    assert admission.admit(B, "job", 1.0).verdict is Verdict.RUN


class AdmissionAgainstAModel(RuleBasedStateMachine):
    """Never two jobs of one key at once, never an answered one again, memory bounded."""

    LIMIT, REMEMBERED, BYTES = 3, 4, 30
    keys = st.sampled_from([("client", b"%d" % n) for n in range(8)])

    def __init__(self):
        super().__init__()
        self.real = Admission(
            limit=self.LIMIT, remembered=self.REMEMBERED, remembered_bytes=self.BYTES
        )
        self.running, self.replies, self.jobs = {}, {}, 0

    @rule(key=keys, remaining=st.sampled_from([1.0, 0.0, -1.0]))
    def admit(self, key, remaining):
        self.jobs += 1
        admitted = self.real.admit(key, self.jobs, remaining)
        if key in self.replies:
            assert admitted == Admitted(Verdict.REPEAT, reply=self.replies[key])
        elif key in self.running:
            assert admitted == Admitted(Verdict.JOIN, running=self.running[key])
        elif remaining <= 0:
            assert admitted == Admitted(Verdict.EXPIRED)
        elif len(self.running) == self.LIMIT:
            assert admitted == Admitted(Verdict.SHED)
        else:
            assert admitted == Admitted(Verdict.RUN)
            self.running[key] = self.jobs

    @rule(key=keys, size=st.integers(0, 40), remember=st.booleans())
    def finish(self, key, size, remember):
        reply = Message(b"x" * size)
        self.real.finish(key, reply, remember=remember)
        if self.running.pop(key, None) is None or not remember or size > self.BYTES:
            return
        self.replies[key] = reply
        while len(self.replies) > self.REMEMBERED or self.size() > self.BYTES:
            self.replies.pop(next(iter(self.replies)))

    @rule(key=keys)
    def abandon(self, key):
        self.real.abandon(key)
        self.running.pop(key, None)

    def size(self):
        return sum(len(reply.body) for reply in self.replies.values())

    @invariant()
    def agree(self):
        assert len(self.real) == len(self.running) <= self.LIMIT
        assert dict(self.real._replies) == self.replies
        assert self.real._bytes == self.size() <= self.BYTES


TestAdmissionAgainstAModel = AdmissionAgainstAModel.TestCase
TestAdmissionAgainstAModel.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None
)
