"""A server's life: start, refusal, drain, redelivery, failure."""

import asyncio
import threading
from typing import Protocol

import pytest

import rpc
from contracts import NO_RETRY, Certainty, ContractError, Overloaded, method
from rpc.channel import Channel
from rpc.server import Server
from rpc.stub import Stub, connect
from transports.base import Address, Message, Receipt
from transports.errors import AddressUnknown, NotAuthorized, TransportClosed, Unreachable
from transports.memory import MemoryTransport


class Job(Protocol):
    @method(timeout=30.0)
    def run(self, name: str) -> str: ...

    @method(timeout=30.0)
    async def wait(self, name: str) -> str: ...


class JobImpl(Job):
    """Handlers that say when they have begun, and end when they are told."""

    def __init__(self, patience, answer="done"):
        self.patience, self.answer = patience, answer
        self.began, self.go = threading.Semaphore(0), threading.Event()
        self.ran, self.cancelled = [], threading.Event()

    def run(self, name: str) -> str:
        self.ran.append(name)
        self.began.release()
        assert self.go.wait(self.patience)
        return self.answer

    async def wait(self, name: str) -> str:
        self.ran.append(name)
        self.began.release()
        try:
            await asyncio.get_running_loop().run_in_executor(None, self.go.wait, self.patience)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return self.answer


@pytest.fixture
def job(patience):
    impl = JobImpl(patience)
    yield impl
    impl.go.set()


COLOURS = pytest.mark.parametrize("name", ["run", "wait"])


def call(client, name, *args):
    return getattr(client, name).future(*args)


# -- before it starts ------------------------------------------------------------------------------


def test_building_a_server_opens_nothing(job):
    before = threading.active_count()
    server = Server(job, transport="kafka://127.0.0.1:1")

    assert threading.active_count() == before
    assert (server.in_flight, server.rejected, server.stop()) == (0, 0, 0)
    assert [service.full_name for service in server.services] == ["Job"]


def test_an_implementation_that_does_not_fit_is_refused_before_anything_is_opened():
    class Half(Job):
        def run(self, name: int) -> str:
            return str(name)

    with pytest.raises(ContractError, match="wait"):
        Server(Half(), transport="nonsense://")


@pytest.mark.parametrize(
    ("implementations", "options", "told"),
    [
        (0, {}, "nothing to serve"),
        (2, {}, "Job is implemented twice"),
        (1, {"workers": 0}, "workers is 0, not at least 1"),
        (1, {"max_in_flight": 0}, "max_in_flight is 0"),
    ],
)
def test_what_makes_no_server_is_told(job, implementations, options, told):
    with pytest.raises(ValueError, match=told):
        Server(*[job] * implementations, **options)


def test_a_second_start_is_refused(job, memory_url):
    with (
        Server(job, transport=memory_url) as server,
        pytest.raises(RuntimeError, match="was started before; make another"),
    ):
        server.start()

    with pytest.raises(RuntimeError, match="was started before"):
        server.start()


def test_a_start_that_fails_leaves_nothing_open(job, wire):
    def fails():
        raise Unreachable("no broker answers")

    wire.opens = fails
    before = threading.active_count()
    with pytest.raises(Unreachable, match="no broker answers"):
        Server(job, transport=wire).start()

    assert threading.active_count() == before


# -- serving ---------------------------------------------------------------------------------------


def test_threads_are_named_and_end_with_the_server(job, memory_url):
    with Server(job, transport=memory_url, workers=2):  # and one thread more, which receives
        running = [thread for thread in threading.enumerate() if thread.name.startswith("rpc-")]

    assert {thread.name for thread in running} >= {
        "rpc-worker-0", "rpc-worker-1", "rpc-worker-2", "rpc-loop",
    }  # fmt: skip
    for thread in running:
        thread.join(5)
    assert not any(thread.is_alive() for thread in running)


def test_a_handler_that_waits_holds_nobody_up(job, memory_url, patience):
    with Server(job, transport=memory_url, workers=3) as server, Channel(memory_url) as channel:
        client = Stub(Job, channel=channel)
        calls = [call(client, name, name) for name in ("run", "wait", "run", "wait")]
        for _ in calls:
            assert job.began.acquire(timeout=patience)
        in_flight = server.in_flight
        job.go.set()

        assert in_flight == 4
        assert [each.result(patience) for each in calls] == ["done"] * 4


@COLOURS
def test_cancelling_reaches_the_handler(name, job, memory_url, patience, await_true):
    contexts = []

    def remembers(info):
        contexts.append(rpc.current_call())
        return (yield info)

    with (
        Server(job, transport=memory_url, interceptors=[remembers]) as server,
        Channel(memory_url) as channel,
    ):
        cancelled = call(Stub(Job, channel=channel), name, "x")
        assert job.began.acquire(timeout=patience)
        cancelled.sent.result(patience)
        cancelled.cancel()
        await_true(lambda: contexts[0].cancelled)
        if name == "run":
            job.go.set()
        else:
            assert job.cancelled.wait(patience)
        await_true(lambda: server.in_flight == 0)

        assert channel.pending == 0


def test_an_async_handler_is_stopped_at_the_deadline(job, memory_url, patience):
    with (
        Server(job, transport=memory_url) as server,
        Channel(memory_url) as channel,
    ):
        late = Stub(Job, channel=channel).wait.with_options(timeout=0.1).future("x")

        assert isinstance(late.exception(patience), rpc.DeadlineExceeded)
        assert job.cancelled.wait(patience)
        assert server.stop(patience) == 0


def test_the_error_of_a_handler_stopped_at_its_deadline_says_so(job, memory_url, request_of):
    with rpc.open_transport(f"{memory_url}?partitions=1") as transport:
        inbox = transport.receiver(Address("rpc.replies.test"), shared=False)
        with Server(job, transport=transport):
            message = request_of(b'{"name":"x"}', method=b"Job.wait", timeout=b"50")
            transport.send(Address("Job.requests"), message, [].append)
            (reply,) = inbox.receive(20)

    assert dict(reply.message.headers)["rpc-status"] == b"DEADLINE_EXCEEDED"
    assert b"Job.wait: stopped at the deadline" in reply.message.body
    assert b'"certainty":"EXECUTED"' in reply.message.body


# -- draining --------------------------------------------------------------------------------------


@COLOURS
def test_a_drain_finishes_and_answers_what_was_taken(name, job, memory_url, patience, await_true):
    with Channel(memory_url) as channel:
        server = Server(job, transport=memory_url).start()
        taken = call(Stub(Job, channel=channel), name, "x")
        assert job.began.acquire(timeout=patience)
        left = []
        stopping = threading.Thread(target=lambda: left.append(server.stop(patience)))
        stopping.start()
        assert server.wait(patience)
        job.go.set()
        stopping.join(patience)

        assert left == [0]
        assert taken.result(patience) == "done"
        assert server.stop() == 0


@COLOURS
def test_what_a_drain_leaves_unfinished_is_done_by_another_server(name, job, memory_url, patience):
    other = JobImpl(patience, answer="done by another")
    other.go.set()
    with Channel(memory_url) as channel:
        server = Server(job, transport=memory_url).start()
        unfinished = call(Stub(Job, channel=channel), name, "x")
        assert job.began.acquire(timeout=patience)
        left = server.stop(0.05)
        with Server(other, transport=memory_url):
            result = unfinished.result(patience)

    assert left == 1
    assert result == "done by another"
    assert (job.ran, other.ran) == (["x"], ["x"])


def test_what_was_not_taken_is_left_to_another_server(job, memory_url, patience):
    job.go.set()
    with Channel(memory_url) as channel:
        client = Stub(Job, channel=channel)
        early = client.run.future("early")
        with Server(job, transport=memory_url):
            assert early.result(patience) == "done"
        waits = client.run.future("between")
        with Server(job, transport=memory_url):
            assert waits.result(patience) == "done"

    assert job.ran == ["early", "between"]


def test_calls_are_shared_by_servers_and_none_is_lost_when_one_leaves(memory_url, patience):
    quick = [JobImpl(patience), JobImpl(patience)]
    for impl in quick:
        impl.go.set()
    with Channel(memory_url) as channel, Server(quick[0], transport=memory_url):
        leaving = Server(quick[1], transport=memory_url).start()
        client = Stub(Job, channel=channel)
        calls = [client.run.future(str(n)) for n in range(100)]
        left = leaving.stop(patience)
        calls += [client.run.future(str(n)) for n in range(100, 200)]
        results = [each.result(patience) for each in calls]

    assert left == 0
    assert results == ["done"] * 200
    assert sorted(quick[0].ran + quick[1].ran) == sorted(str(n) for n in range(200))


def test_a_transport_of_the_callers_stays_open_and_one_of_its_own_is_closed(job, memory_url):
    outcomes = []
    with MemoryTransport("kept") as kept:
        with Server(job, transport=kept):
            pass
        with Server(job, transport=memory_url) as server:
            own = server._transport
        for transport in (kept, own):
            transport.send(Address("Job.requests"), Message(b""), outcomes.append)

    assert isinstance(outcomes[0], Receipt)
    assert isinstance(outcomes[1], TransportClosed)


# -- failing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [NotAuthorized("READ on Job.requests was withdrawn"), RuntimeError("a driver's fault")]
)
def test_an_error_of_the_receiver_ends_the_server_and_is_kept(job, wire, error, patience):
    def fails(max_wait):
        raise error

    wire.inbox.receive = fails
    with Server(job, transport=wire) as server:
        assert server.wait(patience)

        assert str(error) in str(server.failure)
        assert isinstance(server.failure, rpc.TransportError)


def test_an_error_while_a_message_is_taken_ends_the_server_and_is_kept(job, wire, patience):
    wire.inbox.receive = lambda max_wait: [None]  # what no transport hands on
    with Server(job, transport=wire) as server:
        assert server.wait(patience)

        assert isinstance(server.failure, rpc.TransportError)
        assert "NoneType" in str(server.failure)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_in_a_task_that_a_handler_began_is_answered_and_the_server_goes_on(
    kind, memory_url, patience
):
    class Nest(Protocol):
        @method(timeout=30.0)
        async def breaks(self) -> int: ...

        @method(timeout=30.0)
        async def holds(self) -> int: ...

    class NestImpl(Nest):
        async def breaks(self) -> int:
            async def egg():
                raise kind

            await asyncio.gather(egg())
            return 0

        async def holds(self) -> int:
            return 1

    with Server(NestImpl(), transport=memory_url) as server, Channel(memory_url) as channel:
        client = Stub(Nest, channel=channel)
        with pytest.raises(rpc.InternalError):
            client.breaks()

        assert client.holds() == 1
        assert server.stop(patience) == 0


def test_a_reply_that_cannot_be_sent_is_settled_and_the_server_goes_on(
    job, memory_url, request_of, patience, await_true
):
    job.go.set()
    with rpc.open_transport(memory_url) as transport, Channel(transport) as channel:
        with Server(job, transport=transport) as server:
            message = request_of(
                b'{"name":"x"}', method=b"Job.run", reply_topic=b"rpc.replies.nobody"
            )
            outcomes = []
            transport.send(Address("Job.requests"), message, outcomes.append)
            assert job.began.acquire(timeout=patience)
            await_true(lambda: server.in_flight == 0)

            assert isinstance(outcomes[0], Receipt)
            assert Stub(Job, channel=channel).run("y") == "done"
        again = transport.receiver(Address("Job.requests"), shared=True)
        assert list(again.receive(0)) == []
        refused = []
        transport.send(Address("rpc.replies.nobody"), Message(b""), refused.append)
        assert isinstance(refused[0], AddressUnknown)


def test_a_result_that_is_too_large_is_told_as_an_error(job, memory_url, patience):
    job.answer = "x" * 2000
    job.go.set()
    url = f"{memory_url}?max_message_bytes=1500"
    with (
        Server(job, transport=url),
        Channel(memory_url) as channel,
        pytest.raises(rpc.InternalError, match=r"Job\.run: the result is too large") as told,
    ):
        Stub(Job, channel=channel).run("x")

    assert told.value.error_id


@COLOURS
def test_a_burst_beyond_the_bound_waits_and_an_overload_is_refused(job, memory_url, patience, name):
    with (
        Server(job, transport=memory_url, max_in_flight=2) as server,
        connect(Job, memory_url, retry=NO_RETRY) as client,
    ):
        first = [call(client, name, f"{n}") for n in range(2)]
        for _ in first:
            assert job.began.acquire(timeout=patience)
        burst = call(client, name, "burst")
        job.go.set()  # within the half second that a burst is given
        assert [each.result(patience) for each in (*first, burst)] == ["done"] * 3

        job.go.clear()
        stuck = [call(client, name, f"{n}") for n in range(2)]
        refused = [call(client, name, "refused") for _ in range(3)]
        errors = [each.exception(patience) for each in refused]
        job.go.set()
        results = [each.result(patience) for each in stuck]

    assert {type(error) for error in errors} == {Overloaded}
    assert {error.certainty for error in errors} == {Certainty.NOT_EXECUTED}
    assert results == ["done", "done"]
    assert "refused" not in job.ran
    assert server.in_flight == 0
