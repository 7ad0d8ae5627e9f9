"""What a server does with each message: run it, answer it, or drop it; and settle it."""

from typing import Protocol

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

import rpc
from contracts import MSGPACK, Code, method, service
from rpc.clock import ManualClock
from rpc.reply import decode_reply
from rpc.request import cancel_message
from rpc.server import Server
from transports.base import Address, Message


class Ledger(Protocol):
    @method
    def pay(self, amount: int) -> int: ...

    @method
    def note(self, text: str) -> None: ...


class LedgerImpl(Ledger):
    def __init__(self):
        self.paid = []
        self.error = None

    def pay(self, amount: int) -> int:
        self.paid.append(amount)
        if self.error is not None:
            raise self.error
        return sum(self.paid)

    def note(self, text: str) -> None:
        self.paid.append(text)


@service(name="audit", version=2)
class Audit(Protocol):
    @method
    def count(self) -> int: ...


class AuditImpl(Audit):
    def count(self) -> int:
        return 7


@pytest.fixture
def ledger():
    return LedgerImpl()


@pytest.fixture
def bank(desk, ledger):
    return desk(ledger)


PAY = {"method": b"Ledger.pay"}
FIVE = b'{"amount":5}'


def test_a_request_is_run_answered_and_settled(bank, request_of):
    reply = bank.ask(request_of(FIVE, b"key", client=b"me", **PAY))

    assert (reply.code, reply.body, reply.client) == (None, b"5", b"me")
    assert reply.call_id == b"0123456789abcdef"
    assert bank.replies() == []


def test_the_answer_goes_to_the_partition_that_was_named(desk, ledger, request_of, clock):
    bank = desk(ledger)
    bank.put(request_of(FIVE, reply_partition=b"\0\0\0\0", **PAY))

    assert len(bank.replies()) == 1


@pytest.mark.parametrize(
    ("changed", "code", "told"),
    [
        ({"method": b"Nobody.get"}, "UNIMPLEMENTED", "Nobody.get: no such service here"),
        ({"method": b"Ledger.steal"}, "UNIMPLEMENTED", "Ledger has no such method; there is Led"),
        ({"method": b"pay"}, "UNIMPLEMENTED", "pay: no such service here"),
        ({"method": None}, "UNIMPLEMENTED", "no method named"),
        ({"method": b"audit.count"}, "UNIMPLEMENTED", "no such service here"),
        ({"content_type": b"text/xml"}, "UNIMPLEMENTED", "'text/xml' is not spoken here, but app"),
        ({"timeout": b"soon"}, "INVALID_ARGUMENT", "rpc-timeout is not a whole number"),
        ({"version": b"2"}, "INVALID_ARGUMENT", "rpc-version is not 1"),
        ({"method": b"\xff"}, "INVALID_ARGUMENT", "rpc-method is not UTF-8"),
        ({"timeout": b"0"}, "DEADLINE_EXCEEDED", "before the server took the request"),
    ],
)
def test_what_is_not_run_is_answered_as_not_executed(bank, request_of, changed, code, told):
    error = bank.error(request_of(FIVE, **{**PAY, **changed}))

    assert (error.code, error.certainty) == (code, "NOT_EXECUTED")
    assert told in error.message
    assert bank.ask(request_of(FIVE, call=b"the first to run", **PAY)).body == b"5"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "Input data was truncated"),
        (b"{", "Input data was truncated"),
        (b"\xff", "malformed"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `amount`"),
        (b'{"amount":"5"}', "Expected `int`, got `str` - at `$.amount`"),
        (b'{"amount":null}', "Expected `int`, got `null` - at `$.amount`"),
        (b"[" * 100_000, "Expected `object`, got `array`"),
        (b'{"new":' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_arguments_that_do_not_fit_are_told_with_their_path(bank, ledger, request_of, body, told):
    error = bank.error(request_of(body, **PAY))

    assert (error.code, error.certainty) == ("INVALID_ARGUMENT", "NOT_EXECUTED")
    assert error.message.startswith("Ledger.pay: ")
    assert told in error.message
    assert ledger.paid == []


def test_fields_of_a_newer_caller_are_ignored(bank, request_of):
    assert bank.ask(request_of(b'{"amount":5,"currency":"EUR"}', **PAY)).body == b"5"


def test_the_answer_is_in_the_codec_that_was_asked_in(bank, request_of):
    asked = {"content_type": b"application/msgpack"}
    good = bank.ask(request_of(MSGPACK.encode({"amount": 5}), **asked, **PAY))
    bad = bank.error(request_of(b"\xc1", call=b"other", **asked, **PAY))

    assert (good.content_type, good.body) == (b"application/msgpack", b"\x05")
    assert bad.code == "INVALID_ARGUMENT"


def test_who_names_no_codec_gets_the_first_one(bank, request_of):
    reply = bank.ask(request_of(FIVE, content_type=None, **PAY))

    assert (reply.content_type, reply.body) == (b"application/json", b"5")


# -- what is dropped -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"call": None}, "kafka_correlationId has 0 bytes"),
        ({"reply_topic": None}, "kafka_replyTopic is missing"),
        ({"reply_partition": b"0"}, "kafka_replyPartition is not"),
        ({"kind": b"reply"}, "rpc-kind is neither"),
        ({"reply_topic": b"__consumer_offsets"}, "'__consumer_offsets' is not allowed"),
        ({"reply_topic": b"Ledger.requests"}, "'Ledger.requests' is not allowed"),
        ({"reply_topic": b"rpc.replie"}, "'rpc.replie' is not allowed"),
        ({"reply_topic": b"other", "timeout": b"soon"}, "'other' is not allowed"),
        ({"reply_topic": b"other", "method": b"No.such"}, "'other' is not allowed"),
    ],
)
def test_what_can_not_be_answered_is_dropped_logged_and_settled(
    bank, ledger, request_of, changed, why
):
    bank.put(request_of(FIVE, **{**PAY, **changed}))
    with structlog.testing.capture_logs() as logs:
        replies = bank.replies()

    assert replies == []
    assert (bank.server.rejected, bank.server.in_flight, ledger.paid) == (1, 0, [])
    (line,) = logs
    assert (line["event"], line["topic"], line["offset"]) == (
        "request.rejected", "Ledger.requests", 0,
    )  # fmt: skip
    assert why in line["why"]
    assert bank.ask(request_of(FIVE, **PAY)).body == b"5"


def test_nothing_is_written_to_a_topic_that_is_not_allowed(bank, request_of):
    elsewhere = bank.transport.receiver(Address("secrets"), shared=False)
    bank.put(request_of(FIVE, reply_topic=b"secrets", **PAY))
    bank.replies()

    assert list(elsewhere.receive(0)) == []


def test_allowed_reply_topics_are_configured_by_their_beginning(desk, ledger, request_of):
    bank = desk(ledger, reply_topics=["spring.", "nest."])
    inbox = bank.transport.receiver(Address("spring.replies"), shared=False)
    bank.put(
        request_of(FIVE, reply_topic=b"spring.replies", **PAY), request_of(FIVE, call=b"b", **PAY)
    )
    bank.server.step()

    assert len(inbox.receive(0)) == 1
    assert bank.server.rejected == 1


def test_a_lone_string_of_reply_topics_is_refused(ledger):
    """Taken as a sequence it would allow every topic that begins with one of its letters."""
    with pytest.raises(TypeError, match="reply_topics"):
        Server(ledger, reply_topics="rpc.replies.")


@settings(max_examples=60, deadline=None)
@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                ["kafka_correlationId", "kafka_replyTopic", "rpc-method", "rpc-kind", "x"]
            ),
            st.sampled_from([b"Ledger.pay", b"rpc.replies.test", b"request", b"cancel", b"", b"x"])
            | st.binary(max_size=20),
        ),
        max_size=8,
    ),
    body=st.binary(max_size=30),
)
def test_no_message_stops_the_server(headers, body):
    clock = ManualClock()
    with rpc.open_transport("memory://fuzz?partitions=1") as transport:
        server = Server(LedgerImpl(), transport=transport, clock=clock, threads=False).start()
        transport.prepare(Address("rpc.replies.test"), 1.0)
        outcomes = []
        transport.send(Address("Ledger.requests"), Message(body, tuple(headers)), outcomes.append)
        server.step()

        assert server.in_flight == 0
        assert server.stop(0) == 0


# -- twice -----------------------------------------------------------------------------------------


def test_a_duplicate_of_an_answered_request_gets_the_same_answer_and_does_not_run(
    bank, ledger, request_of
):
    message = request_of(FIVE, client=b"me", **PAY)
    first, second = bank.ask(message), bank.ask(message)

    assert first == second
    assert ledger.paid == [5]


def test_the_same_id_of_another_client_is_another_call(bank, ledger, request_of):
    bank.ask(request_of(FIVE, client=b"me", **PAY))
    bank.ask(request_of(FIVE, client=b"you", **PAY))

    assert ledger.paid == [5, 5]


def test_a_declared_failure_is_repeated_but_unavailable_runs_again(bank, ledger, request_of):
    ledger.error = rpc.RpcError(code=Code.ABORTED, message="conflict")
    aborted = [bank.ask(request_of(FIVE, **PAY)).code for _ in range(2)]
    ledger.error = rpc.Unavailable(message="the database is away")
    unavailable = bank.ask(request_of(FIVE, call=b"other", **PAY)).code
    ledger.error = None
    then = bank.ask(request_of(FIVE, call=b"other", attempt=b"2", **PAY))

    assert aborted == [Code.ABORTED] * 2
    assert unavailable is Code.UNAVAILABLE
    assert (then.code, ledger.paid) == (None, [5, 5, 5])


# -- the rest --------------------------------------------------------------------------------------


def test_a_cancel_record_for_a_call_that_is_not_known_is_settled_and_forgotten(bank):
    bank.put(cancel_message(b"unknown", "Ledger.pay", "me", None))

    assert bank.replies() == []
    assert (bank.server.rejected, bank.server.in_flight) == (0, 0)


def test_a_request_as_old_as_its_timeout_is_not_started(bank, ledger, request_of):
    bank.put(request_of(FIVE, timeout=b"500", **PAY))
    bank.clock.advance(0.5)
    (reply,) = bank.replies()

    assert decode_reply(reply).code is Code.DEADLINE_EXCEEDED
    assert b"0.500 s old" in reply.body
    assert ledger.paid == []


def test_services_share_a_server_and_each_has_its_own_topic(desk, ledger, request_of):
    both = desk(AuditImpl(), ledger)
    count = both.ask(request_of(b"{}", method=b"audit.v2.count"))
    outcomes = []
    both.transport.send(
        Address("Ledger.requests"), request_of(FIVE, call=b"pay", **PAY), outcomes.append
    )
    (paid,) = both.replies()

    assert (count.body, paid.body) == (b"7", b"5")
    assert [each.full_name for each in both.server.services] == ["audit.v2", "Ledger"]
