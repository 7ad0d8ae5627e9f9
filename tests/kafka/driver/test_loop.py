"""Threads that wait for one loop, and what its sockets read and write."""

import socket
import threading

import pytest
from kafka.errors import KafkaConnectionError
from kafka.future import Future

from transports.kafka.driver.loop import Loop
from transports.kafka.driver.sockets import PlainTransport


@pytest.fixture
def loop():
    made = Loop()
    yield made
    made.stop(1000)
    made.close()


async def wait_for(future):
    return await future


class Waiting(threading.Thread):
    """Waits for a future of a loop on a thread of its own."""

    def __init__(self, loop, future):
        super().__init__(daemon=True)
        self.loop, self.future, self.outcome = loop, future, None
        self.start()

    def run(self):
        try:
            self.outcome = self.loop.run(wait_for, self.future)
        except Exception as error:
            self.outcome = error

    def ended(self, patience=10):
        self.join(patience)
        assert not self.is_alive()
        return self.outcome


def driven(loop, eventually):
    """Wait until some thread drives the loop."""
    eventually(lambda: loop._driver is not None, every=0.001)
    return loop._driver


def test_who_waits_drives_without_another_thread(loop):
    threads = threading.active_count()

    async def work():
        await loop.sleep(0.01)
        return threading.get_ident(), threading.active_count()

    assert loop.run(work) == (threading.get_ident(), threads)


def test_what_goes_wrong_comes_out_where_it_is_waited_for(loop):
    async def work():
        await loop.sleep(0.0)
        raise KeyError("it")

    with pytest.raises(KeyError, match="it"):
        loop.run(work)
    assert loop.run(lambda: 5) == 5  # and nothing is left behind


def test_a_step_waits_for_nothing(loop):
    async def work(number):
        return number

    assert loop.step(work, 5) == 5
    with pytest.raises(RuntimeError, match="waits"):
        loop.step(wait_for, Future())
    assert loop._driver is None


def test_one_drives_and_the_other_gets_its_own_meanwhile(loop, eventually):
    slow, quick = Future(), Future()
    first = Waiting(loop, slow)
    assert driven(loop, eventually) == first.ident
    second = Waiting(loop, quick)
    loop.call_soon_threadsafe(lambda: quick.success("quick"))

    assert second.ended() == "quick"
    assert first.is_alive()
    loop.call_soon_threadsafe(lambda: slow.success("slow"))
    assert first.ended() == "slow"


def test_who_is_done_leaves_the_loop_to_the_next(loop, eventually):
    slow, quick = Future(), Future()
    first = Waiting(loop, quick)
    driven(loop, eventually)
    second = Waiting(loop, slow)
    loop.call_soon_threadsafe(lambda: quick.success("quick"))
    assert first.ended() == "quick"
    eventually(lambda: loop._driver == second.ident, every=0.001)
    loop.call_soon_threadsafe(lambda: slow.success("slow"))

    assert second.ended() == "slow"


def test_many_threads_get_each_its_own(loop):
    got = []

    def ask(number):
        async def work():
            await loop.sleep(number % 5 / 1000)
            return number

        got.extend(loop.run(work) for _ in range(50))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(got) == sorted(list(range(8)) * 50)


def test_while_who_drives_waits_another_may_borrow_the_loop(loop, eventually):
    waiting = Waiting(loop, answer := Future())
    eventually(loop.borrow, every=0.001)
    loop.call_soon(lambda: answer.success("mine"))  # wakes nobody
    loop.give_back()

    assert waiting.ended() == "mine"


def test_what_is_lent_is_borrowed_by_no_other_and_not_while_it_is_driven(loop):
    at_work, go_on = threading.Event(), threading.Event()

    async def work():
        at_work.set()
        go_on.wait(10)

    working = threading.Thread(target=loop.run, args=(work,))
    working.start()
    at_work.wait(10)
    while_driven = loop.borrow()
    go_on.set()
    working.join(10)
    first, second = loop.borrow(), loop.borrow()
    loop.give_back()

    assert (while_driven, first, second) == (False, True, False)


def test_who_drives_looks_again_when_something_is_due_sooner(loop, eventually):
    loop.call_later(60, lambda: None)
    waiting = Waiting(loop, answer := Future())
    eventually(loop.borrow, every=0.001)
    loop.call_later(0.01, lambda: answer.success("in time"))
    loop.give_back()

    assert waiting.ended() == "in time"


def test_a_stopped_loop_is_not_lent(loop):
    loop.stop(1000)

    assert not loop.borrow()


def test_a_stop_ends_who_drives_and_who_waits(loop, eventually):
    first = Waiting(loop, Future())
    driven(loop, eventually)
    second = Waiting(loop, Future())
    eventually(lambda: len(loop._pending_tasks) == 2, every=0.001)
    loop.stop(5000)

    assert loop._driver is None
    assert isinstance(first.ended(), KafkaConnectionError)
    assert isinstance(second.ended(), KafkaConnectionError)
    with pytest.raises(KafkaConnectionError):
        loop.run(wait_for, Future())


def test_what_runs_on_the_loop_can_not_wait_for_it(loop):
    async def work():
        loop.run(lambda: None)

    with pytest.raises(RuntimeError, match="can't wait for the loop"):
        loop.run(work)


class Heard:
    """A protocol that keeps what it is told."""

    _sensors = None

    def __init__(self):
        self.data, self.lost = b"", None

    def data_received(self, data):
        self.data += data

    def connection_lost(self, error):
        self.lost = error


@pytest.fixture
def connected(loop):
    """A transport that reads, its protocol, and the socket of its peer."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    transport, heard = PlainTransport(loop, ours, host="peer"), Heard()
    transport.set_protocol(heard)
    transport.resume_reading()
    yield transport, heard, theirs
    theirs.close()
    transport.abort()


def until(loop, condition):
    """Drive the loop until it is so."""
    for _ in range(1000):
        if condition():
            return
        loop.poll(timeout_ms=10)
    raise AssertionError("it never was")


def test_everything_that_comes_is_passed_on(loop, connected):
    _, heard, peer = connected
    for part in (b"one", b"two", b"x" * 300_000):
        threading.Thread(target=peer.sendall, args=(part,)).start()
        before = len(heard.data)
        until(loop, lambda: len(heard.data) == before + len(part))  # noqa: B023 - called at once

    assert heard.data == b"onetwo" + b"x" * 300_000
    assert heard.lost is None


def test_a_write_goes_out_at_once(connected):
    transport, _, peer = connected
    transport.write(b"now")

    assert peer.recv(10) == b"now"


def test_what_the_kernel_does_not_take_is_left_to_the_loop_in_order(loop, connected):
    transport, _, peer = connected
    sent = [bytes([number]) * 200_000 for number in range(10)]
    for part in sent:
        transport.write(part)
    got = []

    def read():
        while sum(map(len, got)) < 2_000_000:
            got.append(peer.recv(65536))

    reading = threading.Thread(target=read)
    reading.start()
    until(loop, lambda: not reading.is_alive())

    assert b"".join(got) == b"".join(sent)


def test_what_came_before_a_hang_up_is_passed_on(loop, connected):
    _, heard, peer = connected
    peer.sendall(b"last words")
    peer.close()
    until(loop, lambda: heard.lost is not None)

    assert heard.data == b"last words"
    assert isinstance(heard.lost, KafkaConnectionError)


def test_a_write_to_who_hung_up_is_told_by_the_loop(loop, connected):
    transport, heard, peer = connected
    peer.close()
    transport.write(b"anybody there")
    assert heard.lost is None  # nobody is told in the middle of sending
    until(loop, lambda: heard.lost is not None)

    assert isinstance(heard.lost, KafkaConnectionError)


def test_a_task_that_fails_is_logged_and_the_others_go_on(loop, caplog):
    def fails():
        raise KeyError("it")

    loop.call_soon(fails)

    assert loop.run(lambda: 5) == 5


def test_an_interrupt_comes_out_where_the_loop_is_driven(loop):
    def interrupts():
        raise KeyboardInterrupt

    loop.call_soon(interrupts)
    with pytest.raises(KeyboardInterrupt):
        loop.run(wait_for, Future())

    assert loop._driver is None
    assert loop.run(lambda: 5) == 5
