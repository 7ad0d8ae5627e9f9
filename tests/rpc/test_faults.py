"""Calls over a wire that loses, doubles, delays and refuses: what is promised all the same."""

import uuid
from collections import Counter
from typing import Protocol

import pytest

import rpc
from contracts import Certainty, RetryPolicy, method
from rpc.channel import Channel
from rpc.server import Server
from rpc.stub import Stub
from transports.faults import Fault, Faults
from transports.faulty import FaultyTransport
from transports.memory import MemoryTransport

CALLS = 200


class Ledger(Protocol):
    @method(timeout=1.0)
    def pay(self, number: int) -> int: ...

    @method(timeout=1.0, idempotent=True)
    def read(self, number: int) -> int: ...

    @method(timeout=1.0)
    async def pay_async(self, number: int) -> int: ...


class LedgerImpl(Ledger):
    def __init__(self):
        self.runs = Counter()

    def pay(self, number: int) -> int:
        self.runs[number] += 1
        return number

    def read(self, number: int) -> int:
        return self.pay(number)

    async def pay_async(self, number: int) -> int:
        return self.pay(number)


@pytest.fixture
def faulty():
    """Return what opens faulty transports to one broker; closed at the end."""
    name, opened = uuid.uuid4().hex, []

    def open_one(**faults):
        opened.append(FaultyTransport(MemoryTransport(name), Faults(**faults)))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close(5.0)


TRUTH = {
    Certainty.NOT_EXECUTED: lambda runs: runs == 0,
    Certainty.EXECUTED: lambda runs: runs == 1,
    Certainty.UNKNOWN: lambda runs: runs <= 1,
}


@pytest.mark.parametrize("seed", range(3))
def test_every_call_ends_once_with_its_own_reply_or_a_true_word_on_its_execution(
    faulty, seed, patience, await_true
):
    chances = {"lose_ack": 0.05, "duplicate": 0.1, "delay": 0.1, "reorder": 0.1, "fail": 0.05}
    requests = faulty(drop=0.05, seed=seed, hold=0.02, **chances)
    replies = faulty(drop=0.05, seed=seed + 100, hold=0.02, **chances)
    ledger = LedgerImpl()
    ended = Counter()
    policy = RetryPolicy(attempt_timeout=0.2)
    with Server(ledger, transport=replies) as server, Channel(requests, retry=policy) as channel:
        client = Stub(Ledger, channel=channel)
        methods = (client.pay, client.read, client.pay_async)
        calls = [methods[number % 3].future(number) for number in range(CALLS)]
        for number, call in enumerate(calls):
            call.add_done_callback(lambda _call, number=number: ended.update([number]))
        errors = [call.exception(patience) for call in calls]
        await_true(lambda: requests.held == replies.held == 0)
        assert server.stop(patience) == 0

    assert ended == Counter(range(CALLS))
    for number, (call, error) in enumerate(zip(calls, errors, strict=True)):
        if error is None:
            assert (call.result(), ledger.runs[number]) == (number, 1)
        else:
            assert isinstance(error, rpc.RpcError)
            assert TRUTH[error.certainty](ledger.runs[number]), (error, ledger.runs[number])
    assert sum(requests.counts.values()) > 0
    assert sum(replies.counts.values()) > 0
    assert channel.pending == 0


def test_idempotent_calls_with_retries_are_not_lost_while_requests_and_replies_are(
    faulty, patience
):
    requests = faulty(drop=0.1, fail=0.05, seed=1, topics=frozenset({"Ledger.requests"}))
    replies = faulty(drop=0.1, seed=2, topics=frozenset({"rpc.replies.app"}))
    ledger = LedgerImpl()
    policy = RetryPolicy(attempts=12, attempt_timeout=0.1)
    with Server(ledger, transport=replies), Channel(requests, retry=policy) as channel:
        read = Stub(Ledger, channel=channel).read.with_options(timeout=patience)
        results = []
        for start in range(0, 60, 20):
            calls = [read.future(number) for number in range(start, start + 20)]
            results += [call.result(patience) for call in calls]

    assert results == list(range(60))
    assert set(ledger.runs.values()) == {1}
    assert requests.counts[Fault.DROP] > 0
    assert replies.counts[Fault.DROP] > 0


@pytest.mark.parametrize(
    ("fault", "ends", "runs"),
    [
        (Fault.DROP, (rpc.DeadlineExceeded, Certainty.UNKNOWN), 0),
        (Fault.FAIL, (rpc.Unavailable, Certainty.NOT_EXECUTED), 0),
        (Fault.LOSE_ACK, (rpc.Unavailable, Certainty.UNKNOWN), 1),
        (Fault.DUPLICATE, (type(None), None), 1),
        (Fault.DELAY, (type(None), None), 1),
    ],
)
def test_what_a_fault_of_the_request_means_to_its_caller(faulty, fault, ends, runs, await_true):
    requests = faulty(script=(fault,), hold=0.05)
    ledger = LedgerImpl()
    with (
        Server(ledger, transport=faulty()),
        Channel(requests, retry=rpc.NO_RETRY) as channel,
    ):
        pay = Stub(Ledger, channel=channel).pay
        timeout = 0.2 if fault is Fault.DROP else 20.0
        error = pay.with_options(timeout=timeout).future(7).exception()
        await_true(lambda: ledger.runs[7] >= runs)

    assert (type(error), getattr(error, "certainty", None)) == ends
    assert ledger.runs[7] == runs


@pytest.mark.parametrize(
    ("fault", "late"), [(Fault.DUPLICATE, 1), (Fault.LOSE_ACK, 0), (Fault.DELAY, 0)]
)
def test_what_a_fault_of_the_reply_means_to_the_caller(faulty, fault, late, patience, await_true):
    ledger = LedgerImpl()
    replies = faulty(script=(fault,), hold=0.02)
    with Server(ledger, transport=replies) as server, Channel(faulty()) as channel:
        result = Stub(Ledger, channel=channel).pay.with_options(timeout=patience)(7)
        await_true(lambda: channel.late_replies == late)
        await_true(lambda: server.in_flight == 0)

    assert (result, ledger.runs[7]) == (7, 1)
