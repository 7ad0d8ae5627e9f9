"""Whatever a handler does is a reply: values, failures, and what can't be sent."""

import asyncio
import sys
from typing import Protocol

import msgspec
import pytest
import structlog

import rpc
from contracts import JSON, MSGPACK, Code, ErrorBody, method
from rpc.reply import decode_reply

SECRET = "password=hunter2"


class User(msgspec.Struct):
    id: int
    friend: "User | None" = None


class Bomb(msgspec.Struct):
    """Can't be decoded, and no codec says so."""

    def __post_init__(self):
        raise SystemExit(SECRET)


class MuteError(rpc.RpcError, code=Code.ABORTED):
    """Can't be told: what is to be noted on it is not taken."""

    def __setattr__(self, name, value):
        if name in self.__dict__:
            raise SystemExit(SECRET)
        super().__setattr__(name, value)


class NoSuchUserError(rpc.RpcError, code=Code.NOT_FOUND):
    user_id: int
    hint: str = ""


class Lab(Protocol):
    @method(raises=[NoSuchUserError])
    def run(self) -> int | str | list[int] | None: ...

    @method(raises=[NoSuchUserError])
    def slow(self) -> int | str | list[int] | None: ...

    @method
    def number(self) -> float: ...

    @method
    def user(self) -> User: ...

    @method
    def nothing(self) -> None: ...

    @method
    def numbers(self) -> list[int]: ...

    @method
    def take(self, bomb: Bomb) -> int: ...

    @method
    def take_slowly(self, bomb: Bomb) -> int: ...

    @method(delivery="effectively_once")
    def once(self) -> int: ...

    @method(delivery="effectively_once")
    def once_slowly(self) -> int: ...


class LabImpl(Lab):
    """Every method does what the test told it to."""

    def __init__(self, action):
        self.action = action

    def run(self) -> int | str | list[int] | None:
        return self.action()

    async def slow(self) -> int | str | list[int] | None:
        await asyncio.sleep(0)
        return self.action()

    def number(self) -> float:
        return self.action()

    def user(self) -> User:
        return self.action()

    def nothing(self) -> None:
        return self.action()

    def numbers(self) -> list[int]:
        return self.action()

    def take(self, bomb: Bomb) -> int:
        return self.action()

    async def take_slowly(self, bomb: Bomb) -> int:
        return self.action()

    def once(self) -> int:
        return self.action()

    async def once_slowly(self) -> int:
        return self.action()


@pytest.fixture
def lab(desk, request_of):
    """Return what asks a server for the outcome of an action, in JSON or msgpack."""

    def ask(action, name="run", content_type=b"application/json", **options):
        served = desk(LabImpl(action), **options)
        body = {b"application/json": b"{}", b"application/msgpack": b"\x80"}[content_type]
        message = request_of(body, method=b"Lab." + name.encode(), content_type=content_type)
        return served.ask(message)

    return ask


def error_of(reply) -> ErrorBody:
    codec = {b"application/json": JSON, b"application/msgpack": MSGPACK}[reply.content_type]
    return codec.decoder(ErrorBody)(reply.body)


def raising(error):
    def action():
        raise error

    return action


def recurse():
    return recurse()


def cycle():
    user = User(1)
    user.friend = user
    return user


COLOURS = pytest.mark.parametrize("name", ["run", "slow"])


@COLOURS
@pytest.mark.parametrize(
    ("value", "body"), [(7, b"7"), (None, b"null"), ("ä", '"ä"'.encode()), ([1], b"[1]")]
)
def test_a_result_is_the_body_of_the_reply(lab, name, value, body):
    reply = lab(lambda: value, name)

    assert (reply.code, reply.body) == (None, body)


@COLOURS
def test_a_declared_error_is_told_with_its_fields(lab, name):
    reply = lab(raising(NoSuchUserError(user_id=7, message="no user 7")), name)

    assert reply.code is Code.NOT_FOUND
    assert error_of(reply) == ErrorBody(
        "NOT_FOUND", "NoSuchUserError", "no user 7", {"user_id": 7, "hint": ""}, "EXECUTED"
    )


def test_an_error_of_a_nested_call_says_nothing_of_the_execution_of_this_one(lab):
    nested = rpc.Unavailable(message="stock is away", certainty=rpc.Certainty.NOT_EXECUTED)

    assert error_of(lab(raising(nested))).certainty == "EXECUTED"


class OddError(BaseException):
    """Neither an Exception nor one of Python's own."""


@COLOURS
@pytest.mark.parametrize(
    "error",
    [
        ValueError(SECRET),
        KeyError(SECRET),
        SystemExit(SECRET),
        KeyboardInterrupt(SECRET),
        asyncio.CancelledError(SECRET),
        StopIteration(SECRET),
        StopAsyncIteration(SECRET),
        GeneratorExit(SECRET),
        MemoryError(SECRET),
        RecursionError(SECRET),
        TimeoutError(SECRET),
        OddError(SECRET),
        BaseExceptionGroup("several", [ValueError(SECRET)]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_unexpected_exception_is_internal_with_the_id_of_a_log_line_and_no_text(
    lab, name, error
):
    with structlog.testing.capture_logs() as logs:
        reply = lab(raising(error), name)
    told = error_of(reply)
    (line,) = [line for line in logs if line["event"] == "handler.failed"]

    assert (told.code, told.certainty, told.details) == ("INTERNAL", "EXECUTED", {})
    assert (line["error_id"], line["log_level"]) == (told.error_id, "error")
    assert isinstance(line["exc_info"], BaseException)
    assert told.error_id in told.message
    assert len(told.error_id) == 16
    for leaked in (SECRET, "Traceback", "test_dispatcher", type(error).__name__):
        assert leaked.encode() not in reply.body


@COLOURS
@pytest.mark.parametrize("action", [recurse, sys.exit, lambda: 1 / 0])
def test_what_really_goes_wrong_in_python_is_answered_too(lab, name, action):
    assert error_of(lab(action, name)).code == "INTERNAL"


@pytest.mark.parametrize(
    ("name", "value", "content_type", "told"),
    [
        ("user", cycle, b"application/json", "can't be encoded"),
        ("user", cycle, b"application/msgpack", "can't be encoded"),
        ("number", lambda: float("nan"), b"application/json", "can't be encoded"),
        ("number", lambda: float("-inf"), b"application/json", "can't be encoded"),
        ("run", lambda: 2**70, b"application/msgpack", "can't be encoded"),
        ("run", lambda: "\ud800", b"application/json", "can't be encoded"),
        ("run", lambda: "\ud800", b"application/msgpack", "can't be encoded"),
        ("run", object, b"application/json", "got object"),
        ("user", lambda: {"id": 1}, b"application/json", "expected User, got dict"),
        ("user", lambda: None, b"application/json", "expected User, got None"),
        ("number", lambda: True, b"application/json", "got bool"),
        ("nothing", lambda: 0, b"application/json", "got int"),
        ("numbers", lambda: (n for n in range(3)), b"application/json", "got generator"),
        ("numbers", lambda: "123", b"application/json", "got str"),
    ],
)
def test_a_result_that_cannot_be_sent_is_internal_and_logged(lab, name, value, content_type, told):
    with structlog.testing.capture_logs() as logs:
        reply = lab(value, name, content_type)
    error = error_of(reply)

    assert (error.code, error.certainty) == ("INTERNAL", "EXECUTED")
    assert told in error.message
    assert error.error_id in [line.get("error_id") for line in logs]


@pytest.mark.parametrize(
    ("name", "value", "body"),
    [
        ("run", 2**70, b"1180591620717411303424"),
        ("number", 3, b"3"),
        ("numbers", (1, 2), b"[1,2]"),
        ("user", User(1, User(2)), b'{"id":1,"friend":{"id":2,"friend":null}}'),
    ],
)
def test_a_result_of_another_class_with_the_same_form_is_sent(lab, name, value, body):
    assert lab(lambda: value, name).body == body


@pytest.mark.parametrize("content_type", [b"application/json", b"application/msgpack"])
@pytest.mark.parametrize(
    "error",
    [
        NoSuchUserError(user_id=object(), message="no user"),
        NoSuchUserError(user_id=7, hint="\ud800", message="no user"),
        rpc.RpcError(code=Code.NOT_FOUND, message="no user", details={"self": {1, (2, 3)}, 1: {}}),
        rpc.RpcError(code=Code.NOT_FOUND, message="no user", details={"big": [cycle()]}),
    ],
    ids=["object", "surrogate", "odd keys", "cycle"],
)
def test_details_that_cannot_travel_do_not_keep_the_error_back(lab, error, content_type):
    reply = lab(raising(error), "run", content_type)
    told = error_of(reply)

    assert reply.code is Code.NOT_FOUND
    assert (told.code, told.message, told.certainty) == ("NOT_FOUND", "no user", "EXECUTED")


@COLOURS
@pytest.mark.parametrize("content_type", [b"application/json", b"application/msgpack"])
@pytest.mark.parametrize("message", ["user \ud800", ValueError("user \ud800"), b"\xff"])
def test_a_text_that_cannot_travel_does_not_keep_the_error_back(lab, name, content_type, message):
    reply = lab(raising(rpc.RpcError(code=Code.ABORTED, message=message)), name, content_type)

    assert reply.code is Code.ABORTED
    assert error_of_any(reply)["certainty"] == "EXECUTED"


def error_of_any(reply):
    codec = {b"application/json": JSON, b"application/msgpack": MSGPACK}[reply.content_type]
    return codec.decoder(dict)(reply.body)


@pytest.mark.parametrize("name", ["take", "take_slowly"])
def test_a_fault_before_the_handler_is_told_as_not_executed_and_logged(desk, request_of, name):
    ran = []
    served = desk(LabImpl(lambda: ran.append(1)))
    with structlog.testing.capture_logs() as logs:
        reply = served.ask(request_of(b'{"bomb":{}}', method=b"Lab." + name.encode()))
    told = error_of(reply)

    assert (told.code, told.certainty, ran) == ("INTERNAL", "NOT_EXECUTED", [])
    assert [line["error_id"] for line in logs] == [told.error_id]
    assert SECRET.encode() not in reply.body


@COLOURS
def test_a_fault_after_the_handler_is_told_as_unknown_and_logged(lab, name):
    with structlog.testing.capture_logs() as logs:
        reply = lab(raising(MuteError(message="who hears me")), name)
    told = error_of(reply)

    assert (told.code, told.certainty) == ("INTERNAL", "UNKNOWN")
    assert told.error_id in [line.get("error_id") for line in logs]
    assert SECRET.encode() not in reply.body


@pytest.mark.parametrize("name", ["once", "once_slowly"])
def test_a_fault_is_what_came_of_work_that_is_done_once(desk, request_of, name):
    ran = []
    served = desk(LabImpl(lambda: (ran.append(1), raising(MuteError())())))
    method = b"Lab." + name.encode()
    replies = [
        served.ask(request_of(call=call, method=method, rpc_idempotency_key=b"work"))
        for call in (b"0123456789abcde1", b"0123456789abcde2")
    ]

    assert {error_of(reply).certainty for reply in replies} == {"UNKNOWN"}
    assert replies[0].body == replies[1].body
    assert ran == [1]


def test_a_handler_that_cancels_its_own_task_is_answered(desk, request_of):
    class Weary(Protocol):
        @method
        async def rest(self) -> int: ...

        @method(delivery="effectively_once")
        async def rest_once(self) -> int: ...

    class WearyImpl(Weary):
        async def rest(self) -> int:
            asyncio.current_task().cancel()
            await asyncio.sleep(0)
            return 1

        async def rest_once(self) -> int:
            return await self.rest()

    served = desk(WearyImpl())
    for name in (b"Weary.rest", b"Weary.rest_once"):
        told = error_of(served.ask(request_of(method=name)))

        assert (told.code, told.certainty) == ("INTERNAL", "EXECUTED")


def test_an_error_that_is_not_declared_keeps_its_code_and_is_logged(lab):
    class ConflictError(rpc.RpcError, code=Code.ABORTED):
        version: int

    with structlog.testing.capture_logs() as logs:
        reply = lab(raising(ConflictError(version=3, message="changed meanwhile")))

    assert error_of(reply) == ErrorBody(
        "ABORTED", "ConflictError", "changed meanwhile", {"version": 3}, "EXECUTED"
    )
    assert logs[-1]["event"] == "handler.undeclared_error"


# -- interceptors ----------------------------------------------------------------------------------


def test_interceptors_stand_around_the_handler_first_outermost(lab):
    log = []

    def named(name):
        def interceptor(call):
            log.append((name, call.side, call.service, call.method))
            result = yield call
            log.append((name, result))
            return result * 2

        return interceptor

    reply = lab(lambda: 21, interceptors=[named("a"), named("b")])

    assert log == [
        ("a", "server", "Lab", "run"), ("b", "server", "Lab", "run"), ("b", 21), ("a", 42),
    ]  # fmt: skip
    assert reply.body == b"84"


@COLOURS
def test_an_interceptor_answers_instead_of_the_handler(lab, name):
    def forbids(call):
        raise rpc.PermissionDenied(message="not you", certainty=rpc.Certainty.NOT_EXECUTED)
        yield call

    ran = []
    error = error_of(lab(lambda: ran.append(1), name, interceptors=[forbids]))

    assert (error.code, error.certainty) == ("PERMISSION_DENIED", "NOT_EXECUTED")
    assert ran == []


def _forbids(call):
    raise rpc.PermissionDenied(message="not you")
    yield call


def _answers_wrongly(call):
    return object()
    yield call


def _raises_before(call):
    raise SystemExit(SECRET)
    yield call


def _raises_after(call):
    yield call
    raise SystemExit(SECRET)


def _yields_twice(call):
    yield call
    yield call


def _yields_nothing_of_use(call):
    yield None


@COLOURS
@pytest.mark.parametrize(
    "interceptor", [_raises_before, _raises_after, _yields_twice, _yields_nothing_of_use]
)
def test_an_interceptor_that_misbehaves_is_answered_for(lab, name, interceptor):
    reply = lab(lambda: 7, name, interceptors=[interceptor])

    assert error_of(reply).code == "INTERNAL"
    assert SECRET.encode() not in reply.body


@COLOURS
@pytest.mark.parametrize(
    ("interceptor", "code"),
    [
        (_forbids, "PERMISSION_DENIED"),
        (_raises_before, "INTERNAL"),
        (_yields_nothing_of_use, "INTERNAL"),
        (_answers_wrongly, "INTERNAL"),
    ],
)
def test_a_call_that_an_interceptor_ends_was_not_executed(lab, name, interceptor, code):
    ran = []
    error = error_of(lab(lambda: ran.append(1), name, interceptors=[interceptor]))

    assert (error.code, error.certainty) == (code, "NOT_EXECUTED")
    assert ran == []


def test_an_interceptor_sees_the_failure_of_the_handler_and_may_translate_it(lab):
    def translates(call):
        try:
            return (yield call)
        except KeyError as error:
            raise NoSuchUserError(user_id=7) from error

    assert lab(raising(KeyError(7)), interceptors=[translates]).code is Code.NOT_FOUND


def test_an_interceptor_has_the_callers_metadata_id_and_time(desk, request_of):
    seen = []

    def looks(call):
        seen.append((call.metadata, call.call_id, call.attempt, call.timeout, rpc.current_call()))
        return (yield call)

    served = desk(LabImpl(lambda: 1), interceptors=[looks])
    served.put(request_of(method=b"Lab.run", tenant=b"a", attempt=b"3"))
    served.clock.advance(1.0)
    (reply,) = served.replies()

    assert decode_reply(reply).body == b"1"
    assert seen[0][:4] == ({"tenant": "a"}, b"0123456789abcdef".hex(), 3, 4.0)
    assert seen[0][4].method == "run"
