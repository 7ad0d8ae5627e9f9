"""What waits for its turn at a server that loses its partition is left to the next owner."""

import threading
from typing import Protocol

import pytest

import rpc
from contracts import method
from rpc.reply import decode_reply
from rpc.request import cancel_message
from rpc.server import Server
from transports.base import Address, Delivery, Receipt, Unshared


class Held:
    """A partition that the test loses and gets back."""

    def __init__(self):
        self.gone, self.given, self.acked = False, [], []
        self.returns_after = None

    def ack(self, delivery):
        if delivery.receipt.offset in self.acked:
            return False
        self.acked.append(delivery.receipt.offset)
        return not self.gone

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


class Slow(Held):
    """One of which the test says what becomes of commits."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def commit(self, delivery, then):
        self.asked.append(then)


class Chunked(Held):
    """One whose messages came in chunks."""

    def give_back(self, delivery):
        return False


class Book(Protocol):
    @method(key="page", delivery="at_least_once")
    def write(self, page: str) -> str: ...

    @method
    def read(self) -> str: ...

    @method(delivery="at_most_once")
    def burn(self) -> str: ...

    @method(key="page", delivery="at_most_once")
    def tear(self, page: str) -> str: ...


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

    def tear(self, page: str) -> str:
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

    def take(self, *offsets, name=b"Book.write", key=b"p", held=None, crashes=0):
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
                    redelivered=crashes > 0,
                    crashes=crashes,
                )
                for offset in offsets
            ]
        )

    def suspect(self, *offsets, held):
        """Let the server take requests at which others died, and end what runs before them."""
        self.take(*offsets, name=b"Book.read", key=None, held=held, crashes=2)
        assert self.replies(1) == [0]

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


def test_what_would_be_settled_before_its_start_is_given_back_instead(desk, await_true):
    desk.take(1, 2, 3, name=b"Book.tear")
    desk.take(4, name=b"Book.burn", key=None, held=(after := Held()))
    desk.held.gone = True

    assert desk.replies(2) == [0, 4]
    await_true(lambda: desk.server.in_flight == 0)
    assert (desk.held.given, desk.held.acked, after.acked) == ([3, 2, 1], [], [4])


def test_a_suspect_that_waits_to_run_alone_is_given_back(desk, await_true):
    desk.held.gone = True
    desk.suspect(1, held=desk.held)

    await_true(lambda: desk.server.in_flight == 0)
    assert desk.held.given == [1]


def test_a_suspect_is_given_back_where_its_partition_is_lost_before_its_start_is_noted(
    desk, await_true
):
    slow = Slow()
    desk.suspect(1, held=slow)
    await_true(lambda: slow.asked)
    slow.gone = True
    slow.asked.pop()(False)

    assert (slow.given, slow.asked, desk.server.in_flight) == ([1], [], 0)


def test_a_suspect_whose_partition_is_back_already_is_noted_anew_and_runs(desk, await_true):
    slow = Slow()
    desk.suspect(1, held=slow)
    await_true(lambda: slow.asked)
    slow.asked.pop()(False)
    slow.asked.pop()(True)

    assert desk.replies(1) == [1]
    await_true(lambda: slow.acked == [1])


def test_a_suspect_that_is_too_late_when_its_start_can_not_be_noted_is_told_so(desk, await_true):
    slow = Slow()
    desk.suspect(1, held=slow)
    await_true(lambda: slow.asked)
    cancel = cancel_message(b"1", "Book.read", "me", None)
    desk.server._engine.intake.take([Delivery(cancel, Receipt("", 0, 9), 0.0, Unshared())])
    slow.asked.pop()(False)

    assert desk.replies(1) == [1]
    assert slow.asked == []


def test_a_suspect_that_another_server_has_settled_is_over(desk, await_true):
    held = Held()
    desk.suspect(1, held=held)

    await_true(lambda: desk.server.in_flight == 0)
    assert (held.given, held.acked) == ([], [])


def test_a_suspect_in_chunks_can_not_be_given_back_and_runs(desk, await_true):
    chunked = Chunked()
    chunked.gone = True
    desk.suspect(1, held=chunked)

    assert desk.replies(1) == [1]
    await_true(lambda: chunked.acked == [1])


@pytest.mark.parametrize("crashes", [0, 2])
def test_however_much_waits_for_a_lost_partition_its_server_goes_on(desk, await_true, crashes):
    name, key, held = (b"Book.read", None, Held()) if crashes else (b"Book.tear", b"p", Chunked())
    held.gone = True
    desk.take(*range(1, 901), name=name, key=key, held=held, crashes=crashes)

    assert desk.replies(1) == [0]
    await_true(lambda: desk.server.in_flight == 0)
    desk.take(901, held=Held())
    assert desk.replies(1) == [901]
