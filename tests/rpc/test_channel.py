"""Calls through a channel's interceptors, and routes."""

import contextvars
from typing import Protocol

import msgspec
import pytest

from contracts import Certainty, Code, RpcError, Unavailable, method
from rpc.channel import Channel
from rpc.options import CallOptions
from rpc.stub import Stub
from transports.errors import MessageTooLarge, Unreachable


class Echo(Protocol):
    @method(timeout=2.0)
    def say(self, text: str) -> str: ...

    @method(key="text")
    def spell(self, text: str) -> str: ...


def recorder(log, name="seen"):
    def interceptor(call):
        log.append((name, call.side, call.service, call.method, call.arguments.text, call.timeout))
        try:
            result = yield call
        except BaseException as error:
            log.append((name, type(error).__name__))
            raise
        log.append((name, result))
        return result

    return interceptor


def test_interceptors_see_the_call_and_its_result_first_outermost(line):
    log = []
    phone = line(Echo, interceptors=[recorder(log, "a"), recorder(log, "b")])
    call = phone.client.say.future("hi")
    before = list(log)
    phone.arrive(phone.wire.last.reply(b'"HI"'))

    seen = ("client", "Echo", "say", "hi", 2.0)
    assert before == [("a", *seen), ("b", *seen)]
    assert log[2:] == [("b", "HI"), ("a", "HI")]
    assert call.result(0) == "HI"


def test_interceptors_know_the_id_of_the_call(line):
    ids = []

    def remembers(call):
        ids.append(call.call_id)
        return (yield call)

    phone = line(Echo, interceptors=[remembers])
    call = phone.client.say.future("hi")

    assert ids == [call.call_id.hex()]


def test_interceptors_see_the_end_before_anybody_asks_for_it(line):
    log = []
    phone = line(Echo, interceptors=[recorder(log)])
    phone.client.say.future("hi")
    phone.advance(2.0)

    assert log[-1] == ("seen", "DeadlineExceeded")


@pytest.mark.parametrize("end", ["cancel", "close", "unsent", "unready"])
def test_every_end_of_a_call_passes_the_interceptors_once(line, end):
    log = []
    phone = line(Echo, interceptors=[recorder(log)])
    if end == "unready":
        phone.wire.opens = lambda: (_ for _ in ()).throw(Unreachable("no broker"))
    call = phone.client.say.future("hi")
    match end:
        case "cancel":
            call.cancel()
            call.cancel()
        case "close":
            phone.channel.close()
        case "unsent":
            phone.wire.last.fail(MessageTooLarge("too large"))

    assert len(log) == 2
    assert log[1] == ("seen", type(call.exception(0)).__name__)


def test_an_interceptor_changes_what_is_sent(line):
    def stamps(call):
        metadata = {**call.metadata, "tenant": "a", "trace": b"\x01"}
        arguments = msgspec.structs.replace(call.arguments, text="changed")
        return (yield msgspec.structs.replace(call, metadata=metadata, arguments=arguments))

    phone = line(Echo, interceptors=[stamps])
    phone.client.say.with_options(metadata={"tenant": "b", "user": "c"}).future("hi")
    headers = phone.wire.last.headers

    assert (headers["tenant"], headers["user"], headers["trace"]) == (b"a", b"c", b"\x01")
    assert phone.wire.last.message.body == b'{"text":"changed"}'


@pytest.mark.parametrize(("chosen", "key"), [(None, b"ada"), ("mine", b"mine")])
def test_a_call_is_routed_by_the_argument_that_is_sent(line, chosen, key):
    def lowers(call):
        arguments = msgspec.structs.replace(call.arguments, text=call.arguments.text.lower())
        return (yield msgspec.structs.replace(call, arguments=arguments))

    phone = line(Echo, interceptors=[lowers])
    spell = phone.client.spell.with_options(key=chosen) if chosen else phone.client.spell
    spell.future("ADA")

    assert phone.wire.last.message.key == key


def test_metadata_that_an_interceptor_spoils_end_the_call_and_pass_the_outer_ones(line):
    def spoils(call):
        return (yield msgspec.structs.replace(call, metadata={"tenant": 5}))

    log = []
    call = line(Echo, interceptors=[recorder(log), spoils]).client.say.future("hi")

    assert isinstance(call.exception(0), TypeError)
    assert log[1] == ("seen", "TypeError")


def test_an_interceptor_answers_by_itself_and_nothing_is_sent(line):
    def cached(call):
        return "cached"
        yield call

    log = []
    phone = line(Echo, interceptors=[recorder(log), cached])
    call = phone.client.say.future("hi")

    assert call.result(0) == "cached"
    assert log[-1] == ("seen", "cached")
    assert phone.wire.sent == []
    assert call.sent.done()
    with pytest.raises(RpcError, match="not sent: an interceptor answered") as told:
        call.sent.result(0)
    assert told.value.certainty is Certainty.NOT_EXECUTED


def test_what_an_interceptor_raises_reaches_the_caller(line):
    def refuses(call):
        raise PermissionError("not today")
        yield call

    phone = line(Echo, interceptors=[refuses])
    call = phone.client.say.future("hi")

    with pytest.raises(PermissionError, match="not today"):
        call.result(0)
    assert phone.wire.sent == []
    assert call.sent.done()


@pytest.mark.parametrize(
    ("metadata", "told"), [({"rpc-kind": "cancel"}, "rpc-kind"), ({"big": "x" * 9000}, "8192")]
)
def test_metadata_that_may_not_be_sent_fails_the_call_through_the_outer_interceptors(
    line, metadata, told
):
    def adds(call):
        return (yield msgspec.structs.replace(call, metadata=metadata))

    log = []
    phone = line(Echo, interceptors=[recorder(log), adds])
    call = phone.client.say.future("hi")

    with pytest.raises(ValueError, match=told):
        call.result(0)
    assert log[-1] == ("seen", "ValueError")
    assert phone.wire.sent == []


def test_an_interceptor_that_yields_twice_fails_the_call_and_not_the_reader(line):
    def twice(call):
        yield call
        yield call

    phone = line(Echo, interceptors=[twice])
    calls = [phone.client.say.future(text) for text in "ab"]
    phone.arrive(*(sending.reply(b'"x"') for sending in phone.wire.sent))

    for call in calls:
        with pytest.raises(RuntimeError, match="yields more than once"):
            call.result(0)


def test_retries_happen_inside_the_interceptors(line):
    log = []
    phone = line(Echo, interceptors=[recorder(log)])
    call = phone.client.say.future("hi")
    phone.wire.last.fail(Unreachable("no broker"))
    phone.advance(0.05)
    phone.arrive(phone.wire.last.reply(b'"HI"'))

    assert call.result(0) == "HI"
    assert len(phone.wire.sent) == 2
    assert len(log) == 2


def test_a_context_variable_set_around_a_call_is_there_at_its_end_on_the_readers_thread(
    wire, patience
):
    request_id = contextvars.ContextVar("request_id", default="none")
    seen = []

    def logs(call):
        seen.append(request_id.get())
        result = yield call
        seen.append(request_id.get())
        return result

    wire.on_send = lambda sending: wire.inbox.put(sending.reply(b'"x"'))
    with Channel(wire, interceptors=[logs]) as channel:
        token = request_id.set("r-1")
        call = Stub(Echo, channel=channel).say.future("hi")
        request_id.reset(token)
        call.result(patience)

    assert seen == ["r-1", "r-1"]


def test_a_call_whose_caller_has_no_time_left_is_not_sent(line):
    phone = line(Echo)
    route = phone.client.say._route
    arguments = phone.client.say._spec.bind(("hi",), {})
    terms = phone.channel.terms(route, CallOptions(timeout=-0.1))
    call = phone.channel.calls.start(route, arguments, terms)

    assert call.exception(0).code is Code.DEADLINE_EXCEEDED
    assert "its caller's deadline has passed" in call.exception().message
    assert call.exception().certainty is Certainty.NOT_EXECUTED
    assert phone.wire.sent == []


def test_an_instance_id_is_of_one_channel_alone(wire):
    ids = {Channel(wire).instance for _ in range(50)}

    assert len(ids) == 50
    assert all(len(one) == 16 for one in ids)


def test_replies_come_where_the_channel_was_told(wire):
    asked = []
    wire.receiver = lambda address, *, shared: asked.append((address.topic, shared)) or wire.inbox
    for topic in (None, "rpc.replies.special"):
        with Channel(wire, reply_topic=topic) as channel:
            channel.open()

    assert asked == [("rpc.replies.app", False), ("rpc.replies.special", False)]


def test_each_failure_is_an_error_object_of_its_own(line):
    phone = line(Echo)
    calls = [phone.client.say.future("hi") for _ in range(2)]
    phone.channel.close()

    assert isinstance(calls[0].exception(0), Unavailable)
    assert calls[0].exception() is not calls[1].exception()
