"""Futures of event loops that other threads resolve: each loop is woken once for a batch."""

import asyncio
import threading

import pytest

from rpc.completion import Completion
from transports.together import together


class CountedLoop(asyncio.SelectorEventLoop):
    """An event loop that counts how often another thread wakes it."""

    woken = 0

    def call_soon_threadsafe(self, *args, **kwargs):
        self.woken += 1
        return super().call_soon_threadsafe(*args, **kwargs)


@pytest.fixture
def loop():
    made = CountedLoop()
    yield made
    made.close()


async def result_of(completion: Completion[int]) -> int:
    return await completion


def resolved_by_a_thread(loop, completions, resolve):
    """Return what tasks get that await `completions`, which `resolve` sets on another thread."""

    async def scenario():
        tasks = [asyncio.ensure_future(result_of(each)) for each in completions]
        await asyncio.sleep(0)
        thread = threading.Thread(target=resolve)
        thread.start()
        results = await asyncio.gather(*tasks)
        thread.join()
        return results

    return loop.run_until_complete(scenario())


def test_a_loop_is_woken_once_for_a_batch(loop):
    completions = [Completion() for _ in range(100)]

    def resolve():
        with together():
            for number, completion in enumerate(completions):
                completion.set(number)
            assert loop.woken == 0

    assert resolved_by_a_thread(loop, completions, resolve) == list(range(100))
    assert loop.woken == 1


def test_each_of_two_loops_is_woken(loop, run_together):
    other, ready = CountedLoop(), threading.Barrier(3)
    mine, theirs = Completion(), Completion()

    def waits(one, completion):
        async def scenario():
            task = asyncio.ensure_future(result_of(completion))
            await asyncio.sleep(0)
            ready.wait()
            return await task

        return one.run_until_complete(scenario())

    def sets():
        ready.wait()
        with together():
            mine.set(1)
            theirs.set(2)

    results = run_together(lambda: waits(loop, mine), lambda: waits(other, theirs), sets)
    other.close()

    assert results[:2] == [1, 2]
    assert (loop.woken, other.woken) == (1, 1)


def test_a_batch_within_a_batch_waits_for_the_end_of_the_outer_one(loop):
    first, second = Completion(), Completion()

    def resolve():
        with together():
            with together():
                first.set(1)
            assert loop.woken == 0
            second.set(2)

    assert resolved_by_a_thread(loop, [first, second], resolve) == [1, 2]
    assert loop.woken == 1


def test_what_a_batch_ended_is_told_though_the_batch_fails(loop):
    completion, errors = Completion(), []

    def resolve():
        try:
            with together():
                completion.set(1)
                raise RuntimeError("in the middle")
        except RuntimeError as error:
            errors.append(str(error))

    assert resolved_by_a_thread(loop, [completion], resolve) == [1]
    assert errors == ["in the middle"]


def test_outside_of_a_batch_a_loop_is_woken_at_once(loop):
    completion = Completion()

    assert resolved_by_a_thread(loop, [completion], lambda: completion.set(1)) == [1]
    assert loop.woken == 1
