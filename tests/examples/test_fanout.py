"""A hundred calls at once: in memory, and as processes over Kafka."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from examples.fanout.client import ask_all
from examples.fanout.contract import ShopClosed, ShopService
from examples.fanout.server import Shops
from rpc import DeadlineExceeded
from rpc.testing import in_memory


def test_partial_failures_leave_the_other_calls_alone() -> None:
    with in_memory(ShopService, Shops()) as shops:
        survey = asyncio.run(ask_all(shops, range(1, 101), "lamp", within=1.0))
    failed = Counter(type(error) for error in survey.errors)
    closed = {error.shop for error in survey.errors if isinstance(error, ShopClosed)}

    assert len(survey.quotes) == 80
    assert failed == {ShopClosed: 10, DeadlineExceeded: 10}
    assert closed == set(range(10, 101, 10))


def test_all_calls_end_by_one_deadline() -> None:
    with in_memory(ShopService, Shops()) as shops:
        started = time.monotonic()
        survey = asyncio.run(ask_all(shops, [7] * 100, "lamp", within=0.5))
        elapsed = time.monotonic() - started

    assert len(survey.errors) == 100
    assert 0.5 <= elapsed < 5.0


def test_nothing_asked_is_nothing_answered() -> None:
    with in_memory(ShopService, Shops()) as shops:
        survey = asyncio.run(ask_all(shops, [], "lamp", within=1.0))

    assert survey == ([], [])
    assert str(survey) == "best: None\n0 quotes"


def test_a_client_process_surveys_a_hundred_shops(
    start: Callable[..., Any], kafka_url: str
) -> None:
    server = start("-m", "examples.fanout.server", url=kafka_url)
    server.wait_for("server.started")
    client = start("-m", "examples.fanout.client", url=kafka_url)
    best, counts = client.output().splitlines()

    assert best.startswith("best: Quote(shop=")
    assert counts == "80 quotes, 10 DEADLINE_EXCEEDED, 10 FAILED_PRECONDITION"
    assert server.stop() == 0
