"""Where handlers run: threads for `def`, one loop for `async def`."""

import asyncio
import threading
import time

import pytest

from rpc.workers import EventLoop, Workers


def call(task):
    task()


async def run(task):
    await task()


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


@pytest.fixture
def loop():
    made = EventLoop(run)
    yield made
    made.close(5.0)


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


def test_coroutines_of_many_threads_run_on_one_loop(loop, patience, run_together):
    names, ran = set(), threading.Semaphore(0)

    async def task():
        await asyncio.sleep(0)
        names.add(threading.current_thread().name)
        ran.release()

    def submit():
        for _ in range(100):
            loop.submit(task)

    run_together(submit, submit, submit)
    for _ in range(300):
        assert ran.acquire(timeout=patience)

    assert names == {"rpc-loop"}


def test_closing_the_loop_cancels_what_runs(patience):
    loop, began, cancelled = EventLoop(run), threading.Event(), threading.Event()

    async def task():
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    loop.submit(task)
    assert began.wait(patience)
    loop.close(patience)
    loop.close(patience)

    assert cancelled.is_set()


def test_functions_run_on_the_loops_own_thread(loop, patience):
    names, ran = [], threading.Event()
    loop.call(lambda: (names.append(threading.current_thread().name), ran.set()))

    assert ran.wait(patience)
    assert names == ["rpc-loop"]
