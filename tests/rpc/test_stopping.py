"""Who stops a server, where several want to: other threads, handlers, signals."""

import threading
from typing import Protocol

import pytest

from contracts import method
from rpc.channel import Channel
from rpc.server import Server
from rpc.stub import Stub


class Desk(Protocol):
    @method(timeout=30.0)
    def hold(self) -> str: ...

    @method(timeout=30.0)
    def stop(self) -> int: ...


class DeskImpl(Desk):
    def __init__(self, patience):
        self.patience = patience
        self.holding, self.go = threading.Event(), threading.Event()
        self.server: Server | None = None

    def hold(self) -> str:
        self.holding.set()
        assert self.go.wait(self.patience)
        return "held"

    def stop(self) -> int:
        self.holding.set()
        assert self.go.wait(self.patience)
        return self.server.stop(0.2)


@pytest.fixture
def desk(patience):
    impl = DeskImpl(patience)
    yield impl
    impl.go.set()


def test_who_waits_for_a_server_that_another_thread_stops_leaves_it(
    desk, memory_url, patience, run_together
):
    server = Server(desk, transport=memory_url)

    def serve():
        with server:
            waiting.set()
            server.wait()

    def stop():
        assert waiting.wait(patience)
        return server.stop()

    waiting = threading.Event()

    assert run_together(serve, stop) == [None, 0]


def test_who_waits_for_a_server_that_its_handler_stops_leaves_it(
    desk, memory_url, patience, run_together
):
    desk.server = Server(desk, transport=memory_url)
    desk.go.set()

    def serve():
        with desk.server, Channel(memory_url) as channel:
            Stub(Desk, channel=channel).stop.future()
            assert desk.server.wait(patience)

    assert run_together(serve) == [None]


def test_whoever_stops_a_server_that_is_being_stopped_returns_when_it_is(
    desk, wire, patience, run_together
):
    server = Server(desk, transport=wire).start()
    closing, go, ended = threading.Event(), threading.Event(), []

    def close(timeout):
        closing.set()
        assert go.wait(patience)
        ended.append("closed")

    def stop_again():
        assert closing.wait(patience)
        threading.Timer(0.1, go.set).start()
        left = server.stop(patience)
        return left, *ended

    wire.inbox.close = close

    assert run_together(server.stop, stop_again) == [0, (0, "closed")]


def test_a_handler_that_stops_a_server_that_drains_holds_it_up_no_longer(
    desk, memory_url, patience, run_together
):
    desk.server = server = Server(desk, transport=memory_url).start()

    def stop():
        return server.stop(patience)

    def go():
        assert server.wait(patience)
        desk.go.set()

    with Channel(memory_url) as channel:
        stopping = Stub(Desk, channel=channel).stop.future()
        assert desk.holding.wait(patience)
        left, _ = run_together(stop, go)

        assert left == 0
        assert stopping.result(patience) == 0


def test_a_stop_in_the_midst_of_one_on_the_same_thread_does_nothing(desk, wire):
    server, inner = Server(desk, transport=wire).start(), []
    wire.inbox.close = lambda timeout: inner.append(server.stop())  # as a signal handler would

    assert server.stop() == 0
    assert inner == [0]


def test_a_stop_that_is_interrupted_is_gone_on_with_by_the_next(desk, wire, patience):
    close = wire.inbox.close

    def interrupted(timeout):
        wire.inbox.close = close
        raise KeyboardInterrupt

    wire.inbox.close = interrupted
    with Server(desk, transport=wire) as server, pytest.raises(KeyboardInterrupt):
        server.stop(patience)

    assert wire.inbox.closed
