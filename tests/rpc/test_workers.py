"""The threads of a server: who receives, and who runs what came."""

import queue
import threading
import time

import pytest
import structlog

from rpc.workers import Workers


def call(task, batch):
    """Do a task, and what it returns with the batch."""
    began = time.perf_counter()
    act = task()
    took = time.perf_counter() - began
    if callable(act):
        batch.hold(act, act)
    return took


@pytest.fixture
def workers_of():
    """Make workers of so many threads; they are closed at the end."""
    every = []

    def make(count):
        every.append(Workers(count, call))
        return every[-1]

    yield make
    for made in every:
        made.close(5.0)


@pytest.fixture
def workers(workers_of):
    return workers_of(2)


def test_tasks_run_on_named_threads_that_do_not_keep_the_process(workers, patience):
    names, all_there = set(), threading.Barrier(3)

    def task():
        names.add((threading.current_thread().name, threading.current_thread().daemon))
        all_there.wait(patience)

    workers.submit(task)
    workers.submit(task)
    all_there.wait(patience)

    assert names == {("rpc-worker-0", True), ("rpc-worker-1", True)}


def test_no_more_tasks_run_at_once_than_there_are_threads(workers, patience):
    go, running, most, done = threading.Event(), [], [], threading.Semaphore(0)

    def task():
        running.append(1)
        most.append(len(running))
        assert go.wait(patience)
        running.pop()
        done.release()

    for _ in range(10):
        workers.submit(task)
    go.set()
    for _ in range(10):
        assert done.acquire(timeout=patience)

    assert max(most) <= 2


@pytest.fixture
def brisk(workers_of, patience):
    """Workers whose tasks took next to no time so far, so that one of them does the work."""

    def make(count):
        made, done = workers_of(count), threading.Semaphore(0)
        for _ in range(500):
            made.submit(done.release)
            assert done.acquire(timeout=patience)
        return made

    return make


def test_who_gets_stuck_among_brisk_tasks_holds_up_the_others_for_a_moment_only(brisk, patience):
    workers, go, done = brisk(2), threading.Event(), threading.Semaphore(0)

    workers.submit(lambda: go.wait(patience))
    for _ in range(20):
        workers.submit(done.release)
    for _ in range(20):
        assert done.acquire(timeout=patience)

    assert not go.is_set()
    go.set()


def test_tasks_that_block_after_brisk_ones_run_side_by_side(brisk, patience):
    workers, all_there = brisk(4), threading.Barrier(5)

    for _ in range(4):
        workers.submit(lambda: all_there.wait(patience))
    all_there.wait(patience)

    assert not all_there.broken


def failing():
    raise SystemExit("a fault that nobody expected")


def test_a_task_that_raises_costs_neither_a_thread_nor_what_was_to_be_sent(workers_of, patience):
    workers, sent, done = workers_of(2), threading.Semaphore(0), threading.Barrier(3)
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            workers.submit(lambda: sent.release, failing)
        for _ in range(5):
            assert sent.acquire(timeout=patience)
        for _ in range(2):
            workers.submit(lambda: done.wait(patience))
        done.wait(patience)

    assert [line["event"] for line in logs] == ["worker.failed"] * 5
    assert isinstance(logs[0]["exc_info"], SystemExit)


def test_what_is_discarded_before_a_thread_takes_it_is_not_done(workers_of, patience):
    workers, began, go = workers_of(1), threading.Event(), threading.Event()
    ran, done = [], threading.Event()
    unwanted = lambda: ran.append(1)  # noqa: E731 - a task is told from others by what it is
    workers.submit(lambda: (began.set(), go.wait(patience)))
    assert began.wait(patience)
    workers.submit(unwanted, done.set)
    workers.discard(unwanted)
    workers.discard(unwanted)
    go.set()

    assert done.wait(patience)
    assert ran == []


def test_closing_waits_for_what_was_submitted(patience):
    workers, ran = Workers(1, call), []
    for number in range(100):
        workers.submit(lambda number=number: ran.append(number))
    workers.close(patience)

    assert ran == list(range(100))


def test_many_brisk_workers_are_closed_at_once(brisk, patience):
    workers = brisk(100)
    began = time.monotonic()
    workers.close(patience)

    assert time.monotonic() - began < 0.5  # and not 10 ms for each
    assert not any(thread.is_alive() for thread in workers._threads)


def test_closing_does_not_wait_for_a_task_that_does_not_end(patience):
    workers, began, go = Workers(1, call), threading.Event(), threading.Event()
    workers.submit(lambda: (began.set(), go.wait(patience)))
    assert began.wait(patience)
    workers.close(0.01)

    assert not go.is_set()
    go.set()
    workers.close(patience)


def test_an_idle_worker_keeps_nothing_of_its_last_task_alive(workers, patience, await_true):
    import weakref

    class Task:
        def __call__(self):
            ran.set()

    ran, task = threading.Event(), Task()
    alive = weakref.ref(task)
    workers.submit(task)
    del task
    assert ran.wait(patience)

    await_true(lambda: alive() is None)


class Source:
    """Something to receive from: hands on what is put, and knows who came for it."""

    def __init__(self, workers):
        self.workers, self.waiting = workers, queue.SimpleQueue()
        self.received, self.inside, self.most, self.over = [], 0, 0, False

    def put(self, *tasks):
        """Let these come together."""
        self.waiting.put(tasks)

    def receive(self):
        """Submit what has come, waiting for it a moment; False when it is over."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            tasks = self.waiting.get(timeout=0.02)
        except queue.Empty:
            tasks = ()
        self.workers.submit(*tasks)
        self.received += [threading.current_thread()] * len(tasks)
        self.inside -= 1
        return not self.over


@pytest.fixture
def source_of():
    """Make a source that the given workers receive from."""

    def make(workers):
        source = Source(workers)
        workers.receive(source.receive)
        return source

    return make


def who(ran, done):
    """Return a task that notes its thread."""
    return lambda: (ran.append(threading.current_thread()), done.release())


def test_who_receives_a_task_runs_it(brisk, source_of, patience):
    source, ran, done = source_of(brisk(4)), [], threading.Semaphore(0)
    for _ in range(100):
        source.put(who(ran, done))
        assert done.acquire(timeout=patience)

    same = [one is other for one, other in zip(ran, source.received, strict=True)]
    assert same.count(True) > 90  # one that is woken at the beginning may be faster


def test_while_a_task_blocks_others_receive_and_run(workers_of, source_of, patience):
    source, all_there = source_of(workers_of(3)), threading.Barrier(4)
    for _ in range(3):
        source.put(lambda: all_there.wait(patience))
    all_there.wait(patience)

    assert not all_there.broken


def test_while_as_many_run_as_may_it_is_received_on(workers_of, source_of, patience, await_true):
    workers = workers_of(2)
    source, go, running, done = source_of(workers), threading.Event(), [], threading.Semaphore(0)

    def task():
        running.append(1)
        assert go.wait(patience)
        done.release()

    for _ in range(5):
        source.put(task)
    await_true(lambda: len(source.received) == 5)
    assert len(running) == 2
    go.set()
    for _ in range(5):
        assert done.acquire(timeout=patience)


def test_who_gets_stuck_in_what_it_received_among_brisk_tasks_is_relieved(
    brisk, source_of, patience
):
    source, go, done = source_of(brisk(2)), threading.Event(), threading.Semaphore(0)
    source.put(lambda: go.wait(patience), done.release)
    source.put(done.release)
    for _ in range(2):
        assert done.acquire(timeout=patience)

    assert not go.is_set()
    go.set()


def test_one_thread_at_a_time_receives_and_tasks_of_several_sources_are_done(
    workers_of, source_of, patience
):
    workers = workers_of(4)
    sources, done = [source_of(workers) for _ in range(3)], threading.Semaphore(0)
    for number in range(600):
        pause = 0.003 if number % 50 == 0 else 0.0
        sources[number % 3].put(*[lambda pause=pause: (time.sleep(pause), done.release())] * 2)
    for _ in range(1200):
        assert done.acquire(timeout=patience)

    assert [source.most for source in sources] == [1, 1, 1]


def test_threads_that_only_receive_take_no_tasks(workers_of, source_of, await_true):
    source, ran = source_of(workers_of(0)), []
    source.put(lambda: ran.append(1))
    await_true(lambda: source.received)

    assert ran == []


def test_a_source_that_is_over_is_asked_no_more(workers_of, patience, await_true):
    workers, asked = workers_of(2), []
    workers.receive(lambda: bool(asked.append(1)))
    await_true(lambda: asked)
    done = threading.Event()
    workers.submit(done.set)

    assert done.wait(patience)
    assert asked == [1]


def test_after_receiving_has_stopped_nobody_receives_and_what_came_is_done(
    workers_of, source_of, patience
):
    workers, done = workers_of(2), threading.Semaphore(0)
    source = source_of(workers)
    for _ in range(20):
        source.put(done.release)
    workers.stop_receiving()
    came = len(source.received)
    assert source.inside == 0
    for _ in range(came):
        assert done.acquire(timeout=patience)
    workers.submit(done.release)

    assert done.acquire(timeout=patience)
    assert len(source.received) == came


def test_who_receives_may_stop_it(workers_of, patience):
    workers, stopped = workers_of(1), threading.Event()

    def receive():
        workers.stop_receiving()
        stopped.set()
        return True

    workers.receive(receive)

    assert stopped.wait(patience)


def test_a_source_that_raises_is_asked_no_more_and_holds_nobody_up(
    workers_of, patience, await_true, run_together
):
    workers, asked = workers_of(1), []

    def receive():
        asked.append(1)
        failing()

    with structlog.testing.capture_logs() as logs:
        workers.receive(receive)
        await_true(lambda: logs)
        done = threading.Event()
        workers.submit(done.set)
        assert done.wait(patience)
    run_together(workers.stop_receiving)

    assert asked == [1]
    assert [line["event"] for line in logs] == ["worker.failed"]


def test_what_comes_from_elsewhere_while_all_stand_by_is_done_at_once(brisk, source_of, patience):
    workers, done, took = brisk(2), threading.Semaphore(0), []
    source = source_of(workers)
    for _ in range(50):
        source.put(done.release)
        assert done.acquire(timeout=patience)
        began = time.perf_counter()
        workers.submit(done.release)
        assert done.acquire(timeout=patience)
        took.append(time.perf_counter() - began)

    assert sorted(took)[25] < 0.005  # and not after the time for which another stands by


def test_what_brisk_tasks_send_goes_together_at_the_end_of_all(brisk, source_of, patience):
    source, told = source_of(brisk(2)), []

    def tasks(ran, sent, over):
        def send():
            sent.append(len(ran))
            if len(ran) == 10:
                over.set()

        return [lambda: (ran.append(1), send)[1]] * 10

    for _ in range(20):
        sent, over = [], threading.Event()
        source.put(*tasks([], sent, over))
        assert over.wait(patience)
        told.append(sent)

    assert told.count([10]) > 10  # at first there may be nobody who stands by


def test_what_tasks_that_block_send_goes_before_the_next_is_begun(workers_of, source_of, patience):
    source, go, sent = source_of(workers_of(1)), threading.Event(), threading.Event()
    source.put(lambda: sent.set, lambda: go.wait(patience))

    assert sent.wait(patience)
    assert not go.is_set()
    go.set()


def test_what_was_to_go_with_a_brisk_task_that_gets_stuck_goes_in_a_moment(
    brisk, source_of, patience
):
    source, go, done = source_of(brisk(2)), threading.Event(), threading.Semaphore(0)
    for _ in range(20):  # one is standing by
        source.put(done.release)
        assert done.acquire(timeout=patience)
    sent = threading.Event()
    source.put(lambda: sent.set, lambda: go.wait(patience))

    assert sent.wait(patience)
    assert not go.is_set()
    go.set()


def test_who_takes_over_lets_go_for_the_one_that_is_stuck(brisk, source_of, patience):
    workers = brisk(4)
    source, done = source_of(workers), threading.Semaphore(0)
    went, sent, go = threading.Event(), threading.Event(), threading.Event()

    def gets_stuck():
        went.set()
        assert go.wait(patience)

    source.put(lambda: went.wait(patience))
    for _ in range(20):  # another does what comes, and one is standing by
        source.put(done.release)
        assert done.acquire(timeout=patience)
    source.put(lambda: sent.set, gets_stuck)
    assert went.wait(patience)
    while not sent.is_set() and len(source.received) < 10_000:  # so that nobody stands idle
        source.put(done.release)
        assert done.acquire(timeout=patience)

    assert sent.is_set()
    go.set()
