"""The threads of a server take turns: who has received runs what came, and others receive."""

import threading
from typing import Protocol

import pytest

import rpc
from contracts import Cancelled, Code, RpcError, method
from rpc.channel import Channel
from rpc.server import Server
from rpc.stub import Stub


class Desk(Protocol):
    @method(timeout=30.0, retry=rpc.NO_RETRY)
    def hold(self) -> str: ...

    @method(timeout=30.0)
    def thread(self) -> str: ...

    @method
    def close(self) -> None: ...


class DeskImpl(Desk):
    def __init__(self, patience):
        self.patience = patience
        self.contexts, self.holding, self.go = [], threading.Semaphore(0), threading.Event()
        self.closed, self.threads = threading.Event(), []
        self.server: Server | None = None

    def hold(self) -> str:
        self.contexts.append(rpc.current_call())
        self.holding.release()
        assert self.go.wait(self.patience)
        return "held"

    def thread(self) -> str:
        return threading.current_thread().name

    def close(self) -> None:
        self.threads.append(threading.current_thread())
        self.server.stop(0)
        self.closed.set()


@pytest.fixture
def desk(patience):
    impl = DeskImpl(patience)
    yield impl
    impl.go.set()


def test_while_the_only_worker_is_busy_cancellations_are_received(
    desk, memory_url, patience, await_true
):
    with Server(desk, transport=memory_url, workers=1), Channel(memory_url) as channel:
        client = Stub(Desk, channel=channel)
        held = client.hold.future()
        assert desk.holding.acquire(timeout=patience)
        waits = client.hold.future()
        waits.sent.result(patience)
        waits.cancel()
        held.cancel()
        await_true(lambda: desk.contexts[0].cancelled)
        desk.go.set()

        assert isinstance(held.exception(patience), Cancelled)
        assert len(desk.contexts) == 1  # and what waited for it was given up


def test_while_the_only_worker_is_busy_what_is_too_much_is_refused(desk, memory_url, patience):
    with (
        Server(desk, transport=memory_url, workers=1, max_in_flight=2),
        Channel(memory_url) as channel,
    ):
        client = Stub(Desk, channel=channel)
        held = [client.hold.future() for _ in range(2)]
        assert desk.holding.acquire(timeout=patience)
        refused = client.hold.future().exception(patience)
        desk.go.set()

        assert isinstance(refused, RpcError)
        assert refused.code is Code.RESOURCE_EXHAUSTED
        assert [each.result(patience) for each in held] == ["held"] * 2


def test_handlers_run_on_threads_of_the_server(desk, memory_url, patience):
    with Server(desk, transport=memory_url, workers=2), Channel(memory_url) as channel:
        client = Stub(Desk, channel=channel)
        names = {client.thread() for _ in range(300)}

    assert names <= {"rpc-worker-0", "rpc-worker-1", "rpc-worker-2"}


def test_a_handler_may_stop_its_server(desk, memory_url, patience):
    desk.server = Server(desk, transport=memory_url, workers=1)
    with desk.server, Channel(memory_url) as channel:
        Stub(Desk, channel=channel).close.future()
        assert desk.closed.wait(patience)
    desk.threads[0].join(patience)

    assert not desk.threads[0].is_alive()
