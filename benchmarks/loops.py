"""Closed loops: a number of calls is kept in flight, each begun as soon as one has ended.

All return the latencies, in seconds, of the calls that ended before `ends`.
"""

import asyncio
import threading
from functools import partial
from time import perf_counter


def one_by_one(call, ends):
    """Keep one call in flight, by a function that blocks."""
    latencies = []
    while (begun := perf_counter()) < ends:
        call()
        if (now := perf_counter()) < ends:
            latencies.append(now - begun)
    return latencies


def by_threads(call, in_flight, ends):
    """Keep calls in flight by as many threads, each in a call that blocks."""
    found = [[] for _ in range(in_flight)]
    threads = [
        threading.Thread(target=lambda its: its.extend(one_by_one(call, ends)), args=(its,))
        for its in found
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [latency for its in found for latency in its]


def by_futures(start, in_flight, ends):
    """Keep calls in flight by futures: the callback of each begins the next, where it runs."""
    latencies, failures = [], []
    over = threading.Semaphore(0)

    def begin():
        begun = perf_counter()
        if begun < ends:
            start().add_done_callback(partial(done, begun))
        else:
            over.release()

    def done(begun, future):
        now = perf_counter()
        try:
            future.result()
        except Exception as error:  # it would be lost in the thread of whoever calls back
            failures.append(error)
            over.release()
            return
        if now < ends:
            latencies.append(now - begun)
        begin()

    for _ in range(in_flight):
        begin()
    for _ in range(in_flight):
        over.acquire()
    if failures:
        raise failures[0]
    return latencies


async def by_tasks(call, in_flight, ends):
    """Keep calls in flight by as many tasks of one event loop."""
    latencies = []

    async def loop():
        while (begun := perf_counter()) < ends:
            await call()
            if (now := perf_counter()) < ends:
                latencies.append(now - begun)

    await asyncio.gather(*(loop() for _ in range(in_flight)))
    return latencies
