"""What waits for its turn at a server that loses its partition is left to the next owner."""

import threading
from typing import Protocol

import pytest

import rpc
from contracts import method
from rpc.reply import decode_reply
from rpc.server import Server
from transports.base import Address, Delivery, Receipt


class Held:
    """A partition that the test loses and gets back."""

    def __init__(self):
        self.gone, self.given, self.acked = False, [], []
        self.returns_after = None

    def ack(self, delivery):
        self.acked.append(delivery.receipt.offset)
        return True

    def begin(self, delivery):
        pass

    def commit(self, delivery, then):
        then(delivery.acked)

    def owned(self, delivery):
        return not self.gone

    def lost(self, delivery):
        return self.gone

    def give_back(self, delivery):
        offset = delivery.receipt.offset
        if not self.gone or offset in self.acked:
            return False
        self.given.append(offset)
        self.gone = len(self.given) != self.returns_after
        return True


class Book(Protocol):
    @method(key="page", delivery="at_least_once")
    def write(self, page: str) -> str: ...

    @method
    def read(self) -> str: ...

    @method(delivery="at_most_once")
    def burn(self) -> str: ...


class BookImpl(Book):
    def __init__(self, patience):
        self.begun, self.go, self.patience = (
            threading.Semaphore(0),
            threading.Semaphore(0),
            patience,
        )

    def read(self) -> str:
        self.begun.release()
        assert self.go.acquire(timeout=self.patience)
        return "done"

    def write(self, page: str) -> str:
        return self.read()

    def burn(self) -> str:
        return self.read()


@pytest.fixture
def book(patience):
    impl = BookImpl(patience)
    yield impl
    for _ in range(100):
        impl.go.release()


class Desk:
    """A server with one worker that is busy, and requests of one partition in the test's hands."""

    def __init__(self, server, book, inbox, request_of, patience):
        self.server, self.book, self.inbox = server, book, inbox
        self.request_of, self.patience, self.held = request_of, patience, Held()
        self.calls = {}

    def take(self, *offsets, name=b"Book.write", key=b"p", held=None):
        """Let the server take requests, which are named after their offsets."""
        body = b"{}" if key is None else b'{"page":"p"}'
        self.server._engine.intake.take(
            [
                Delivery(
                    self.request_of(
                        body, key, call=b"%d" % offset, client=b"me", method=name, timeout=b"60000"
                    ),
                    Receipt("Book.requests", 0, offset),
                    self.server._transport.now(),
                    self.held if held is None else held,
                )
                for offset in offsets
            ]
        )

    def begun(self):
        assert self.book.begun.acquire(timeout=self.patience)

    def replies(self, count):
        """Let handlers return until so many calls are answered; return those, in order."""
        found = []
        while len(found) < count:
            self.book.go.release()
            found += [decode_reply(each.message).call_id for each in self.inbox.receive(0.1)]
        return [int(call) for call in found]


@pytest.fixture
def desk(memory_url, book, request_of, patience):
    with rpc.open_transport(f"{memory_url}?partitions=1") as transport:
        inbox = transport.receiver(Address("rpc.replies.test"), shared=False)
        with Server(book, transport=transport, workers=1) as server:
            desk = Desk(server, book, inbox, request_of, patience)
            desk.take(0, held=Held())
            desk.begun()
            yield desk


@pytest.mark.parametrize(
    ("name", "key"), [(b"Book.write", b"p"), (b"Book.write", b"q"), (b"Book.read", None)]
)
def test_what_waits_is_given_back_and_what_runs_is_answered(desk, name, key, await_true):
    desk.take(1, 2, 3, name=name, key=key)
    desk.held.gone = True

    assert desk.replies(1) == [0]
    await_true(lambda: sorted(desk.held.given) == [1, 2, 3])
    await_true(lambda: desk.server.in_flight == 0)
    assert desk.held.acked == []


def test_what_has_one_key_is_given_back_from_its_end_so_that_what_stays_is_in_order(
    desk, await_true
):
    desk.held.returns_after = 2
    desk.take(1, 2, 3, 4)
    desk.held.gone = True
    desk.book.go.release()
    await_true(lambda: len(desk.held.given) == 2)
    desk.take(3, 4, 5)

    assert desk.held.given == [4, 3]
    assert desk.replies(6) == [0, 1, 2, 3, 4, 5]


def test_what_was_settled_before_its_start_is_nobody_else_s(desk):
    desk.take(1, name=b"Book.burn", key=None)
    desk.held.gone = True

    assert desk.replies(2) == [0, 1]
    assert desk.held.given == []


def test_a_request_that_came_again_meanwhile_is_kept_and_settled_where_it_came_again(
    desk, await_true
):
    again = Held()
    desk.take(1)
    desk.take(1, held=again)
    desk.held.gone = True

    assert desk.replies(2) == [0, 1]
    await_true(lambda: again.acked == [1])
    assert (desk.held.given, desk.held.acked) == ([1], [])
