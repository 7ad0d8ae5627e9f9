"""Where `async def` handlers run: one loop on a thread of its own."""

import asyncio
import contextvars
import threading

import pytest
import structlog

from rpc.event_loop import EventLoop


async def run(task):
    await task()


@pytest.fixture
def loop():
    made = EventLoop(run)
    yield made
    made.close(5.0)


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


tenant = contextvars.ContextVar("tenant", default="nobody")


def test_what_a_task_sets_in_its_context_is_not_seen_by_one_that_it_submits(loop, patience):
    seen, ran = [], threading.Event()

    async def following():
        seen.append(tenant.get())
        ran.set()

    async def task():
        tenant.set("ada")
        loop.submit(following)

    loop.submit(task)

    assert ran.wait(patience)
    assert seen == ["nobody"]


def test_what_is_discarded_before_it_begins_does_not_run(loop, patience):
    blocked, go, ran = threading.Event(), threading.Event(), threading.Event()
    loop.call(lambda: (blocked.set(), go.wait(patience)))
    assert blocked.wait(patience)

    async def unwanted():
        raise AssertionError("it is discarded")

    async def task():
        ran.set()

    loop.submit(unwanted, task)
    loop.discard(unwanted)
    loop.discard(unwanted)
    assert list(loop._starting) == [task]
    go.set()

    assert ran.wait(patience)


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


async def exits():
    raise SystemExit(3)


def test_an_exit_in_a_task_of_a_task_is_raised_there_and_the_loop_goes_on(loop, patience):
    raised, ran = [], threading.Event()

    async def task():
        try:
            await asyncio.gather(exits())
        except SystemExit as error:
            raised.append(error.code)
            ran.set()

    with structlog.testing.capture_logs() as logs:
        loop.submit(task)
        assert ran.wait(patience)
    ran.clear()
    loop.call(ran.set)

    assert ran.wait(patience)
    assert raised == [3]
    assert [line["event"] for line in logs] == ["loop.interrupted"]


def test_an_exit_while_the_loop_is_closed_does_not_keep_it_open(patience):
    loop, began, cancelled = EventLoop(run), threading.Semaphore(0), threading.Semaphore(0)

    async def task():
        began.release()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.release()
            await exits()

    for _ in range(2):
        loop.submit(task)
        assert began.acquire(timeout=patience)
    loop.close(patience)

    assert cancelled.acquire(blocking=False)
    assert cancelled.acquire(blocking=False)
    assert not loop._thread.is_alive()
