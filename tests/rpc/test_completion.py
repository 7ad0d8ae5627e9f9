"""A value that comes once, for threads, event loops and callbacks."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.completion import Completion
from transports.together import hold, together

ROUNDS = 200
"""How often a race is run: each is two threads let go at once."""


def test_before_the_value_there_is_nothing_to_get():
    completion = Completion()

    assert not completion.done()
    assert completion.wait(0) is False
    assert completion.wait(-1) is False


@pytest.mark.parametrize("value", [1, None, False])
def test_after_set_everyone_gets_the_value(value):
    completion = Completion()
    completion.set(value)

    assert completion.done()
    assert completion.wait(0) is True
    assert completion.wait(None) is True
    assert completion.get() is value


@given(st.lists(st.booleans()))
def test_each_callback_runs_once_and_in_the_order_given(early):
    completion, ran = Completion(), []
    for number, before in enumerate(early):
        if before:
            completion.when_done(lambda number=number: ran.append(number))
    completion.set("value")
    for number, before in enumerate(early):
        if not before:
            completion.when_done(lambda number=number: ran.append(number))

    first = [number for number, before in enumerate(early) if before]
    assert ran == first + [number for number in range(len(early)) if number not in first]


def test_a_wait_that_timed_out_leaves_nothing_behind():
    completion = Completion()
    for _ in range(100):
        completion.wait(0)

    assert completion._waiters == []


def test_a_callback_given_while_the_value_is_set_runs_exactly_once(run_together):
    for _ in range(ROUNDS):
        completion, ran = Completion(), []
        run_together(
            lambda c=completion: c.set("value"),
            lambda c=completion, r=ran: c.when_done(lambda: r.append(1)),
        )

        assert ran == [1]


def test_the_same_callback_given_by_many_threads_runs_once_for_each(run_together):
    for _ in range(ROUNDS // 10):
        completion, ran = Completion(), []

        def count(ran=ran):
            ran.append(1)

        def give(completion=completion, count=count):
            for _ in range(50):
                completion.when_done(count)

        run_together(give, give, lambda c=completion: c.set("value"), give)

        assert len(ran) == 150


def test_a_hundred_threads_that_wait_are_all_woken(run_together, patience):
    completion = Completion()
    waiting = [lambda: completion.wait(patience) and completion.get()] * 100

    assert run_together(*waiting, lambda: completion.set("value"))[:100] == ["value"] * 100


async def _await(completion):
    return await completion


def test_it_can_be_awaited_before_and_after_any_number_of_times():
    async def scenario():
        completion = Completion()
        tasks = [asyncio.create_task(_await(completion)) for _ in range(50)]
        await asyncio.sleep(0)
        completion.set("value")
        return [*await asyncio.gather(*tasks), await completion]

    assert asyncio.run(scenario()) == ["value"] * 51


def test_loops_on_many_threads_wait_for_one_value(run_together):
    completion, ready = Completion(), threading.Semaphore(0)

    async def waits():
        task = asyncio.create_task(_await(completion))
        await asyncio.sleep(0)
        ready.release()
        return await task

    def sets():
        for _ in range(5):
            ready.acquire()
        completion.set("value")

    loops = [lambda: asyncio.run(waits())] * 5

    assert run_together(*loops, sets)[:5] == ["value"] * 5


def test_values_set_by_many_threads_wake_one_loop_for_each_of_them(run_together):
    completions = [Completion() for _ in range(400)]

    def setter(part):
        def run():
            for completion in completions[part::4]:
                completion.set(part)

        return run

    async def waits():
        return await asyncio.gather(*(_await(completion) for completion in completions))

    *_, values = run_together(*(setter(part) for part in range(4)), lambda: asyncio.run(waits()))

    assert values == [0, 1, 2, 3] * 100


def test_a_cancelled_await_disturbs_nobody():
    async def scenario():
        completion = Completion()
        given_up = asyncio.create_task(_await(completion))
        stays = asyncio.create_task(_await(completion))
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        completion.set("value")
        return await stays

    assert asyncio.run(scenario()) == "value"


def test_a_value_for_a_loop_that_is_closed_goes_to_the_others():
    completion, heard = Completion(), []

    async def gives_up():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_await(completion), 0)

    async def never_asks():
        asyncio.get_running_loop().stop()
        await completion

    asyncio.run(gives_up())
    loop = asyncio.new_event_loop()
    task = loop.create_task(never_asks())
    loop.run_forever()
    loop.close()
    completion.when_done(lambda: heard.append("callback"))
    completion.set("value")

    assert heard == ["callback"]
    task.get_coro().close()
    task._log_destroy_pending = False


def test_who_waits_lets_go_first_of_what_its_batch_holds_back(patience):
    completion = Completion()
    with together():
        hold("sent", lambda: completion.set("answer"))

        assert completion.wait(patience)
