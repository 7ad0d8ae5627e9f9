"""What is told of a request, and what was settled before: no answer claims more than is so."""

import gc
import threading
from typing import Protocol

import pytest

from contracts import JSON, Certainty, ErrorBody, PermissionDenied, method
from rpc.job import Job
from rpc.refusal import Refusal, given_up, overdue
from rpc.reply import decode_reply
from rpc.request import decode_request, request_headers, request_message
from rpc.settlement import Settlement, commit_all
from transports.base import Address, Delivery, Message, Receipt
from transports.errors import NotAuthorized, SendUncertain, Unreachable


class Custodian:
    """Says what is done with deliveries, and commits when the test says so."""

    def __init__(self, owned=True):
        self.steps, self.waiting, self.is_owned = [], [], owned

    def ack(self, _delivery):
        self.steps.append("ack")
        return True

    def begin(self, _delivery):
        self.steps.append("begin")

    def commit(self, _delivery, then):
        self.steps.append("commit")
        self.waiting.append(then)

    def owned(self, _delivery):
        return self.is_owned

    def lost(self, _delivery):
        return not self.is_owned

    def give_back(self, _delivery):
        self.steps.append("give back")
        return True


@pytest.fixture
def settlement(wire, clock):
    made = Settlement(wire.send, {JSON.content_type: JSON}, JSON, clock, most_refusals=2)
    made.opened()
    return made


@pytest.fixture
def request_(request_of):
    return decode_request(request_of(method=b"Ledger.pay"))


def delivery(custody, *, redelivered=False):
    return Delivery(None, Receipt("Ledger.requests", 0, 0), 0.0, custody, redelivered=redelivered)


def certainty(sending):
    return JSON.decoder(ErrorBody)(decode_reply(sending.message).body).certainty


def test_not_executed_is_told_once_the_request_is_settled_for_good(settlement, request_, wire):
    custody = Custodian()
    settlement.refuse(request_, given_up("Ledger.pay"), [delivery(custody)])
    before = list(wire.sent)
    custody.waiting.pop()(True)

    assert (before, custody.steps) == ([], ["ack", "commit"])
    assert certainty(wire.last) == Certainty.NOT_EXECUTED
    assert settlement.open == 1
    wire.last.acknowledge()
    assert settlement.open == 0


def test_what_could_not_be_settled_may_run_elsewhere(settlement, request_, wire):
    custody = Custodian()
    settlement.refuse(request_, given_up("Ledger.pay"), [delivery(custody)])
    custody.waiting.pop()(False)

    assert certainty(wire.last) == Certainty.UNKNOWN


@pytest.mark.parametrize(("owned", "redelivered"), [(True, True), (False, False), (False, True)])
def test_what_another_server_may_have_had_or_may_have_is_not_known(
    settlement, request_, wire, owned, redelivered
):
    custody = Custodian(owned=owned)
    held = delivery(custody, redelivered=redelivered)
    settlement.refuse(request_, overdue("Ledger.pay"), [held])

    assert certainty(wire.last) == Certainty.UNKNOWN
    assert custody.steps == []
    wire.last.acknowledge()
    assert custody.steps == ["ack"]


def test_what_is_too_late_is_told_at_once_for_time_only_goes_on(settlement, request_, wire):
    custody = Custodian()
    settlement.refuse(request_, overdue("Ledger.pay"), [delivery(custody)])

    assert (certainty(wire.last), custody.steps) == (Certainty.NOT_EXECUTED, [])


def test_what_was_settled_before_it_was_refused_is_told_at_once(settlement, request_, wire):
    custody = Custodian(owned=False)
    settlement.refuse(request_, given_up("Ledger.pay"), [delivery(custody)], committed=True)

    assert (certainty(wire.last), custody.steps) == (Certainty.NOT_EXECUTED, [])


class Ledger(Protocol):
    @method
    def pay(self, amount: int) -> int: ...


class LedgerImpl(Ledger):
    def pay(self, amount: int) -> int:
        return amount


def deny(call):
    raise PermissionDenied(message="internal only")
    yield call


def test_of_a_request_that_an_interceptor_refused_nothing_stays_but_the_refusal(desk, request_of):
    books = desk(LedgerImpl(), interceptors=[deny])
    pay = request_of(b'{"amount":5}', method=b"Ledger.pay")
    first, again = books.error(pay), books.error(pay)
    gc.collect()

    assert (first.code, first.certainty) == ("PERMISSION_DENIED", "NOT_EXECUTED")
    assert again == first
    assert not [
        each for each in gc.get_objects() if isinstance(each, Job) and each.method == "Ledger.pay"
    ]


def test_an_error_that_was_raised_stays_as_it_is_for_whoever_raises_it_again(
    settlement, request_, wire
):
    with pytest.raises(PermissionDenied) as raised:
        raise PermissionDenied(message="internal only", certainty=Certainty.NOT_EXECUTED)
    settlement.refuse(request_, Refusal(raised.value), [delivery(Custodian(owned=False))])

    assert certainty(wire.last) == Certainty.UNKNOWN
    assert raised.value.certainty is Certainty.NOT_EXECUTED
    assert raised.value.__traceback__ is not None


def test_a_request_is_settled_also_where_its_answer_can_not_be_sent(settlement, request_, wire):
    custody = Custodian()
    settlement.refuse(request_, overdue("Ledger.pay"), [delivery(custody)])
    wire.last.fail(Unreachable("no broker"))

    assert (custody.steps, settlement.drain(0)) == (["ack"], 0)


def test_a_drain_tells_what_is_not_settled(settlement):
    assert settlement.drain(0) == 1


@pytest.mark.parametrize(
    ("kept", "told"), [([True, True], [True]), ([True, False], [False]), ([False], [False])]
)
def test_several_deliveries_are_durable_once_all_are(kept, told):
    custody, outcome = Custodian(), []
    commit_all([delivery(custody) for _ in kept], outcome.append)
    for each in kept[:-1]:
        custody.waiting.pop()(each)
    assert outcome == []
    custody.waiting.pop()(kept[-1])

    assert outcome == told


@pytest.mark.parametrize("error", [Unreachable("no broker answers"), SendUncertain("perhaps")])
def test_a_reply_that_no_broker_may_have_is_sent_again_for_as_long_as_a_call_lasts(
    settlement, request_, wire, clock, error
):
    custody = Custodian()
    settlement.answer(request_, Message(b"1"), [delivery(custody)])
    for _ in range(3):
        clock.advance(5.0)
        wire.last.fail(error)
    tries, unsettled = len(wire.sent), list(custody.steps)
    wire.last.acknowledge()

    assert (tries, unsettled, custody.steps) == (4, [], ["ack"])


@pytest.mark.parametrize(
    "failure",
    [
        (0.1, Unreachable("too many wait")),
        (5.0, NotAuthorized("no right")),
        (61.0, Unreachable("")),
    ],
)
def test_a_reply_is_given_up_that_failed_at_once_or_for_good_or_for_too_long(
    settlement, request_, wire, clock, failure
):
    custody = Custodian()
    settlement.answer(request_, Message(b"1"), [delivery(custody)])
    waited, error = failure
    clock.advance(waited)
    wire.last.fail(error)

    assert (len(wire.sent), custody.steps, settlement.open) == (1, ["ack"], 0)


@pytest.fixture
def waiting(settlement):
    """A thread that waits until another refusal may begin, and what tells it to stop."""
    stopping = threading.Event()
    thread = threading.Thread(target=settlement.await_refusals, args=(stopping,))
    yield thread, stopping
    stopping.set()
    thread.join(5)


def refuse_two(settlement, request_):
    settlement.opened()
    for _ in range(2):
        settlement.refuse(request_, overdue("Ledger.pay"), [delivery(Custodian())])


def test_no_more_refusals_are_begun_than_the_brokers_take(
    settlement, request_, wire, waiting, patience
):
    thread, _ = waiting
    refuse_two(settlement, request_)
    thread.start()
    thread.join(0.05)
    held = thread.is_alive()
    wire.last.acknowledge()
    thread.join(patience)

    assert held
    assert not thread.is_alive()


def test_a_server_that_stops_does_not_wait_for_refusals(settlement, request_, waiting, patience):
    thread, stopping = waiting
    refuse_two(settlement, request_)
    thread.start()
    stopping.set()
    thread.join(patience)

    assert not thread.is_alive()


@pytest.mark.parametrize("asks", [True, False])
def test_a_reply_may_share_a_record_where_its_caller_reads_frames(settlement, wire, asks):
    inbox = Address("rpc.replies.app", 1)
    constant = request_headers("Ledger.pay", "c", inbox, JSON.content_type, frames=asks)
    request = decode_request(request_message(constant, b"call", 1.0, b"{}"))
    settlement.answer(request, Message(b"1"), [delivery(Custodian())])

    assert wire.last.packed is asks
