"""Tasks are cancelled at their deadlines, all of them by one timer."""

import asyncio
import contextlib

import pytest

from rpc.alarms import Alarms, Limit


@pytest.fixture
def run():
    """Run a coroutine function with the alarms of its loop."""

    def run(main):
        async def with_alarms():
            return await main(Alarms(asyncio.get_running_loop()))

        return asyncio.run(with_alarms())

    return run


async def wait(alarms, seconds):
    with Limit(alarms, seconds) as limit:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return limit.expired
    return None


@pytest.mark.parametrize("seconds", [0.02, 0.0, -1.0])
def test_what_waits_too_long_is_cancelled_and_goes_on(run, seconds):
    async def main(alarms):
        expired = await wait(alarms, seconds)
        await asyncio.sleep(0)
        return expired, asyncio.current_task().cancelling()

    assert run(main) == (True, 0)


def test_each_is_cancelled_at_its_own_deadline_whichever_came_first(run):
    async def main(alarms):
        order = []

        async def one(seconds):
            await wait(alarms, seconds)
            order.append(seconds)

        tasks = [asyncio.create_task(one(seconds)) for seconds in (0.06, 0.02, 60.0, 0.04)]
        await asyncio.wait({tasks[0], tasks[1], tasks[3]})
        late = tasks[2].done()
        tasks[2].cancel()
        await tasks[2]
        return order, late

    order, late = run(main)

    assert order[:3] == [0.02, 0.04, 0.06]
    assert not late


def test_what_ends_in_time_is_left_alone_and_forgotten(run):
    async def main(alarms):
        for _ in range(100):
            with Limit(alarms, 0.01) as limit:
                await asyncio.sleep(0)
            assert not limit.expired
        await asyncio.sleep(0.03)
        return len(alarms._limits), alarms._timer

    assert run(main) == (0, None)


def test_a_task_that_somebody_else_cancels_is_not_said_to_have_expired(run):
    async def main(alarms):
        task = asyncio.create_task(wait(alarms, 60.0))
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert run(main) is False


def test_a_handler_that_swallows_the_cancellation_keeps_its_result(run):
    async def main(alarms):
        with Limit(alarms, 0.01) as limit:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.sleep(0)
        return limit.expired, asyncio.current_task().cancelling()

    assert run(main) == (True, 0)
