"""What each delivery mode does with a request that comes once, twice, or again after a crash."""

import asyncio
import sqlite3
import threading
from typing import Protocol

import pytest
import structlog
from msgspec.structs import replace

import rpc
from contracts import MSGPACK, Code, method
from rpc.idempotency import MemoryStore
from rpc.idempotency_sqlite import SqliteStore
from rpc.reply import decode_reply
from rpc.request import cancel_message
from rpc.server import Server
from transports import failpoints
from transports.base import Address


class Bank(Protocol):
    @method(delivery="at_most_once")
    def send(self, amount: int) -> int: ...

    @method(delivery="effectively_once")
    def pay(self, amount: int, to: str = "") -> int: ...

    @method(delivery="effectively_once")
    async def wire(self, amount: int) -> int: ...


class BankImpl(Bank):
    def __init__(self):
        self.paid, self.error, self.seen = [], None, None

    def send(self, amount: int) -> int:
        return self.pay(amount)

    def pay(self, amount: int, to: str = "") -> int:
        self.paid.append(amount)
        if self.seen is not None:
            self.seen()
        if self.error is not None:
            raise self.error
        return sum(self.paid)

    async def wire(self, amount: int) -> int:
        return self.pay(amount)


@pytest.fixture
def impl():
    return BankImpl()


@pytest.fixture
def bank(desk, impl):
    return desk(impl)


@pytest.fixture
def pay(request_of):
    """Return what makes a request to pay, under a key."""

    def make(amount=5, key=b"order 1", call=b"a", name="pay", **changed):
        body = b'{"amount":%d}' % amount
        named = {"rpc_idempotency_key": key, "call": call, "method": b"Bank." + name.encode()}
        return request_of(body, **{**named, **changed})

    return make


@pytest.fixture
def armed():
    yield lambda text: failpoints.arm(failpoints.parse(text))
    failpoints.arm({})


# -- at most once ----------------------------------------------------------------------------------


def test_at_most_once_is_settled_before_it_starts(bank, impl, pay):
    watermarks = []
    impl.seen = lambda: watermarks.append(bank.transport.group("Bank.requests", 1).committed[0])

    assert bank.ask(pay(name="send")).body == b"5"
    assert watermarks == [1]


def test_at_most_once_is_not_run_again_by_the_next_server(bank, impl, pay, armed):
    armed("server.before_handler:drop")
    bank.put(pay(name="send"))
    assert bank.replies() == []
    armed("")
    bank.server.stop(0)
    following = Server(impl, transport=bank.transport, clock=bank.clock, threads=False).start()
    following.step()

    assert impl.paid == []
    following.stop(0)


def test_at_least_once_is_run_again_by_the_next_server(desk, pay, armed, request_of):
    class Plain(Protocol):
        @method
        def pay(self, amount: int) -> int: ...

    class PlainImpl(Plain):
        def pay(self, amount: int) -> int:
            return amount

    first = desk(PlainImpl())
    armed("server.before_reply:drop")
    first.put(request_of(b'{"amount":5}', method=b"Plain.pay"))
    assert first.replies() == []
    armed("")
    first.server.stop(0)
    second = Server(PlainImpl(), transport=first.transport, clock=first.clock, threads=False)
    second.start().step()

    assert [decode_reply(each.message).body for each in first.inbox.receive(0)] == [b"5"]
    second.stop(0)


# -- effectively once ------------------------------------------------------------------------------


def test_the_same_key_and_arguments_give_the_same_reply_without_another_run(bank, impl, pay):
    first, second = bank.ask(pay()), bank.ask(pay(call=b"b"))

    assert (first.body, second.body, second.call_id) == (b"5", b"5", b"b")
    assert impl.paid == [5]


def test_codec_and_order_of_arguments_do_not_matter(bank, impl, pay):
    bank.ask(pay())
    again = replace(
        pay(call=b"b", content_type=b"application/msgpack"),
        body=MSGPACK.encode({"to": "", "amount": 5}),
    )

    assert bank.ask(again).content_type == b"application/json"
    assert impl.paid == [5]


def test_other_arguments_under_one_key_are_refused(bank, impl, pay):
    bank.ask(pay())
    error = bank.error(pay(6, call=b"b"))

    assert (error.code, error.certainty) == ("INVALID_ARGUMENT", "NOT_EXECUTED")
    assert impl.paid == [5]


def test_the_call_id_names_the_work_where_no_key_does(bank, impl, pay):
    for call in (b"a", b"a", b"b"):
        bank.ask(pay(key=None, call=call))

    assert impl.paid == [5, 5]


def test_one_call_id_with_other_arguments_is_refused(bank, pay):
    bank.ask(pay(key=None))

    assert bank.error(pay(6, key=None)).code == "INVALID_ARGUMENT"


def test_errors_are_kept_but_for_unavailable(bank, impl, pay):
    impl.error = rpc.RpcError(code=Code.ABORTED, message="conflict")
    aborted = [bank.ask(pay(call=call)).code for call in (b"a", b"b")]
    impl.error = rpc.Unavailable(message="away")
    away = bank.ask(pay(key=b"2")).code
    impl.error = None
    then = bank.ask(pay(key=b"2", call=b"b")).code

    assert (aborted, away, then) == ([Code.ABORTED] * 2, Code.UNAVAILABLE, None)
    assert impl.paid == [5, 5, 5]


def test_what_was_refused_may_be_asked_for_again(bank, impl, pay):
    bank.error(replace(pay(), body=b"{}"))

    assert bank.ask(pay(call=b"b")).body == b"5"
    assert impl.paid == [5]


def test_a_second_server_gets_the_reply_from_the_file(desk, impl, pay, tmp_path, clock):
    path = tmp_path / "work.db"
    with SqliteStore(path, clock=clock) as one, SqliteStore(path, clock=clock) as two:
        first = desk(impl, idempotency=one).ask(pay(name="wire"))
        second = desk(impl, idempotency=two).ask(pay(name="wire", call=b"b"))

    assert (first.body, second.body, impl.paid) == (b"5", b"5", [5])


def test_what_runs_on_another_server_is_worth_asking_for_in_a_moment(desk, impl, pay, clock):
    store = MemoryStore(clock=clock)
    elsewhere = desk(impl, idempotency=store)
    here = desk(impl, idempotency=store)
    answers = []
    impl.seen = lambda: answers.append(here.ask(pay(call=b"b"))) if not answers else None
    elsewhere.ask(pay())

    assert (answers[0].code, answers[0].retry_after) == (Code.UNAVAILABLE, 0.05)
    assert impl.paid == [5]


def test_what_is_answered_with_a_kept_reply_is_not_logged_as_a_failure(desk, impl, pay):
    bank = desk(impl, interceptors=[rpc.log_calls])
    with structlog.testing.capture_logs() as logs:
        bank.ask(pay())
        bank.ask(pay(call=b"b"))
    lines = [line for line in logs if line["event"].startswith("call.")]

    assert [(line["event"], line.get("code")) for line in lines] == [
        ("call.ended", "OK"), ("call.ended", None),
    ]  # fmt: skip


class BrokenStore:
    blocking = False

    def begin(self, work, fingerprint, lease):
        raise sqlite3.OperationalError("disk is full")


class SlowStore(MemoryStore):
    """A store that takes ten seconds to look something up."""

    def __init__(self, clock):
        super().__init__(clock=clock)
        self._now = clock

    def begin(self, work, fingerprint, lease):
        found = super().begin(work, fingerprint, lease)
        self._now.advance(10.0)
        return found


@pytest.mark.parametrize("name", ["pay", "wire"])
def test_nothing_is_run_for_whom_the_store_took_too_long(desk, impl, pay, clock, name):
    bank = desk(impl, idempotency=SlowStore(clock))
    late = bank.error(pay(name=name))
    in_time = bank.ask(pay(name=name, call=b"b", rpc_timeout=b"60000"))

    assert (late.code, late.certainty) == ("DEADLINE_EXCEEDED", "NOT_EXECUTED")
    assert (in_time.code, impl.paid) == (None, [5])


def test_where_the_store_fails_nothing_is_run(desk, impl, pay):
    error = desk(impl, idempotency=BrokenStore()).error(pay())

    assert (error.code, error.certainty) == ("UNAVAILABLE", "NOT_EXECUTED")
    assert impl.paid == []


class ExitingStore(MemoryStore):
    """A store that wants the process to end, once."""

    def __init__(self, step):
        super().__init__()
        self._step = step

    def begin(self, work, fingerprint, lease):
        self._exit_at("begin")
        return super().begin(work, fingerprint, lease)

    def finish(self, work, fence, reply):
        self._exit_at("finish")
        return super().finish(work, fence, reply)

    def _exit_at(self, step):
        if self._step == step:
            self._step = None
            raise SystemExit


@pytest.mark.parametrize(("step", "then"), [("begin", None), ("finish", Code.UNAVAILABLE)])
def test_nobody_joins_work_at_which_the_store_gave_up(desk, impl, pay, step, then):
    bank = desk(impl, idempotency=ExitingStore(step))
    first, second = bank.ask(pay()), bank.ask(pay(call=b"b"))

    assert (first.code, second.code, impl.paid) == (Code.INTERNAL, then, [5])


class Accounts(Protocol):
    @method(delivery="effectively_once")
    def add(self, amount: int) -> int: ...


class AccountsImpl(Accounts):
    """Keeps its own table in the database that holds the replies."""

    def __init__(self, path):
        self.path, self.error = path, None

    def add(self, amount: int) -> int:
        connection = sqlite3.connect(self.path)
        try:
            with connection:
                connection.execute("CREATE TABLE IF NOT EXISTS entries (amount)")
                connection.execute("INSERT INTO entries VALUES (?)", (amount,))
                rpc.current_call().complete_in(connection, amount)
            if self.error is not None:
                raise self.error
            return amount
        finally:
            connection.close()


class SlowAccountsImpl(AccountsImpl):
    """Comes to no end once it has committed."""

    async def add(self, amount: int) -> int:
        super().add(amount)
        return await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (AccountsImpl, RuntimeError("after the commit")),
        (AccountsImpl, rpc.Unavailable(message="the mail server is away")),
        (SlowAccountsImpl, None),
    ],
)
def test_a_reply_that_is_kept_in_the_transaction_is_the_one_that_all_get(
    desk, request_of, tmp_path, kind, error
):
    path = tmp_path / "app.db"
    impl = kind(path)
    impl.error = error
    with SqliteStore(path) as store:
        accounts = desk(impl, idempotency=store)
        bodies = [
            accounts.ask(
                request_of(b'{"amount":7}', call=call, method=b"Accounts.add",
                           rpc_idempotency_key=b"k", timeout=b"50")
            ).body
            for call in (b"a", b"b")
        ]  # fmt: skip
        kept = sqlite3.connect(path)
        entries = kept.execute("SELECT amount FROM entries").fetchall()
        kept.close()

    assert (bodies, entries) == ([b"7", b"7"], [(7,)])


def test_a_reply_can_be_kept_in_a_transaction_only_by_a_store_that_has_one(desk, request_of):
    accounts = desk(AccountsImpl(":memory:"))
    message = request_of(b'{"amount":7}', method=b"Accounts.add")

    assert accounts.error(message).code == "INTERNAL"


def test_complete_in_needs_a_method_that_is_effectively_once(bank, impl, pay):
    problems = []

    def complete():
        with pytest.raises(LookupError) as problem:
            rpc.current_call().complete_in(None, 1)
        problems.append(str(problem.value))

    impl.seen = complete
    bank.ask(pay(name="send"))

    assert problems == ["Bank.send is not effectively_once: there is no reply to keep"]


# -- two at once -----------------------------------------------------------------------------------


class Slow(Protocol):
    @method(delivery="effectively_once")
    def work(self, number: int) -> int: ...


class SlowImpl(Slow):
    def __init__(self, patience):
        self.started, self.go = threading.Semaphore(0), threading.Event()
        self.patience, self.runs = patience, 0

    def work(self, number: int) -> int:
        self.runs += 1
        self.started.release()
        assert self.go.wait(self.patience)
        return number


@pytest.fixture
def slow(patience):
    impl = SlowImpl(patience)
    yield impl
    impl.go.set()


class Phone:
    """Sends requests by hand, and takes the answers."""

    def __init__(self, transport, request_of, patience):
        self.transport, self.request_of, self.patience = transport, request_of, patience
        self.inbox = transport.receiver(Address("rpc.replies.test"), shared=False)

    def ask(self, call, key, **changed):
        body, name = b'{"number":1}', b"Slow.work"
        named = {"call": call, "client": b"me", "method": name, "rpc_idempotency_key": key}
        self.put(self.request_of(body, **named, **changed))

    def put(self, message):
        self.transport.send(Address("Slow.requests"), message, lambda _: None)

    def replies(self, count):
        found = []
        while len(found) < count:
            found += self.inbox.receive(self.patience)
        return {decode_reply(each.message).call_id: each.message.body for each in found}


@pytest.fixture
def phone(memory_url, request_of, patience):
    with rpc.open_transport(f"{memory_url}?partitions=1") as transport:
        yield Phone(transport, request_of, patience)


def test_a_second_call_of_one_key_gets_the_reply_of_the_first_and_holds_no_worker(
    slow, phone, patience
):
    with Server(slow, transport=phone.transport, workers=2):
        for call, key in ((b"a", b"one"), (b"b", b"one"), (b"c", b"two")):
            phone.ask(call, key)
        assert slow.started.acquire(timeout=patience)
        assert slow.started.acquire(timeout=patience), "the second call holds a worker"
        slow.go.set()

        assert phone.replies(3) == {b"a": b"1", b"b": b"1", b"c": b"1"}
        assert slow.runs == 2


class StuckImpl(Slow):
    """Comes to no end the first time."""

    def __init__(self):
        self.started, self.runs = threading.Event(), 0

    async def work(self, number: int) -> int:
        self.runs += 1
        if self.runs == 1:
            self.started.set()
            await asyncio.Event().wait()
        return number


@pytest.mark.parametrize(
    ("end", "timeout"), [("DEADLINE_EXCEEDED", b"50"), ("CANCELLED", b"60000")]
)
def test_a_handler_that_was_cut_off_runs_again_for_who_repeats_its_key(
    phone, patience, clock, end, timeout
):
    impl = StuckImpl()
    with Server(impl, transport=phone.transport, clock=clock):
        phone.ask(b"a", b"one", timeout=timeout)
        assert impl.started.wait(patience)
        if end == "CANCELLED":
            phone.put(cancel_message(b"a", "Slow.work", "me", None))
        stopped = phone.replies(1)
        phone.ask(b"b", b"one")

        assert end.encode() in stopped[b"a"]
        assert phone.replies(1) == {b"b": b"1"}


@pytest.mark.parametrize("gives_up", [b"a", b"b"])
def test_one_that_gives_up_leaves_the_others_their_reply(slow, phone, patience, gives_up):
    with Server(slow, transport=phone.transport, workers=2):
        phone.ask(b"a", b"one")
        assert slow.started.acquire(timeout=patience)
        phone.ask(b"b", b"one")
        phone.ask(b"c", b"two")  # one worker for it: the second has joined by then
        assert slow.started.acquire(timeout=patience)
        phone.put(cancel_message(gives_up, "Slow.work", "me", None))
        early = phone.replies(1) if gives_up == b"b" else {}
        slow.go.set()
        replies = {**early, **phone.replies(3 - len(early))}

    assert slow.runs == 2
    assert (b"CANCELLED" in replies[b"b"]) == (gives_up == b"b")
    assert replies[b"a"] == b"1"


class StuckStore(MemoryStore):
    """A store that takes long to look the first work up."""

    def __init__(self, patience):
        super().__init__()
        self.asked, self.go, self.patience = threading.Event(), threading.Event(), patience

    def begin(self, work, fingerprint, lease):
        first = not self.asked.is_set()
        self.asked.set()
        assert not first or self.go.wait(self.patience)
        return super().begin(work, fingerprint, lease)


def test_one_that_is_begun_too_late_does_not_speak_for_those_that_joined_it(
    slow, phone, patience, clock
):
    store = StuckStore(patience)
    slow.go.set()
    with Server(slow, transport=phone.transport, workers=2, clock=clock, idempotency=store):
        phone.ask(b"a", b"one")
        assert store.asked.wait(patience)
        phone.ask(b"b", b"one", timeout=b"60000")
        phone.ask(b"c", b"two")  # one worker for it: the second has joined by then
        assert phone.replies(1) == {b"c": b"1"}
        clock.advance(10.0)
        store.go.set()
        replies = phone.replies(2)

    assert b"DEADLINE_EXCEEDED" in replies[b"a"]
    assert b"UNAVAILABLE" in replies[b"b"]
    assert b"NOT_EXECUTED" in replies[b"b"]
    assert slow.runs == 1
