"""Keys: what has one runs one at a time, in the order in which it came."""

import asyncio
import contextvars
import threading
from typing import Protocol

from hypothesis import given
from hypothesis import strategies as st

from rpc import Channel, Server, Stub, method
from rpc.lanes import Lanes
from rpc.testing import in_memory


@given(st.lists(st.one_of(st.sampled_from("abc"), st.none())))
def test_a_lane_runs_one_job_at_a_time_and_in_order(steps):
    """A letter enters its lane with the next number; None ends whatever has run longest."""
    lanes, running, began, entered = Lanes(), {}, [], []
    for number, lane in enumerate(steps):
        if lane is not None:
            entered.append((lane, number))
            if lanes.enter(lane, number):
                assert lane not in running
                running[lane] = number
                began.append((lane, number))
        elif running:
            ended = next(iter(running))
            del running[ended]
            following = lanes.leave(ended)
            if following is not None:
                running[ended] = following
                began.append((ended, following))

    for lane in "abc":
        order = [number for name, number in entered if name == lane]
        assert [number for name, number in began if name == lane] == order[: len(order)][
            : sum(name == lane for name, _ in began)
        ]
    assert len(lanes) == len(running)


def test_what_waits_is_told_of_each_lane_the_next_first():
    lanes = Lanes()
    for lane, job in (("k", "a"), ("l", "b"), ("k", "c"), ("l", "d"), ("k", "e"), ("m", "f")):
        lanes.enter(lane, job)

    assert list(lanes.all_waiting()) == ["c", "e", "d"]


class Accounts(Protocol):
    @method(key="account")
    def add(self, account: str, entry: int) -> list[int]: ...

    @method(delivery="effectively_once")
    def pay(self, account: str, entry: int) -> list[int]: ...


class AccountsImpl(Accounts):
    """Reads, waits, and writes: side by side, an entry would be lost."""

    def __init__(self) -> None:
        self.entries: dict[str, list[int]] = {}
        self.at_once = threading.Semaphore(1)

    def add(self, account: str, entry: int) -> list[int]:
        assert self.at_once.acquire(blocking=False), "two calls of one key at once"
        try:
            before = list(self.entries.get(account, []))
            threading.Event().wait(0.002)
            self.entries[account] = [*before, entry]
            return self.entries[account]
        finally:
            self.at_once.release()

    def pay(self, account: str, entry: int) -> list[int]:
        return self.add(account, entry)


def test_calls_with_one_key_run_one_after_the_other_in_the_order_of_their_sending():
    with in_memory(Accounts, AccountsImpl(), workers=8) as client:
        calls = [client.add.future("ada", entry) for entry in range(50)]

        assert calls[-1].result(10) == list(range(50))


def test_a_key_that_the_caller_chooses_is_for_order_also_where_another_one_names_the_work():
    with in_memory(Accounts, AccountsImpl(), workers=8) as client:
        pay = client.pay.with_options(key="ada")
        calls = [
            pay.with_options(idempotency_key=f"order {entry}").future("ada", entry)
            for entry in range(50)
        ]

        assert calls[-1].result(10) == list(range(50))


class Tenants(Protocol):
    @method(key="key")
    async def enter(self, key: str, name: str) -> str: ...


tenant = contextvars.ContextVar("tenant", default="nobody")


class TenantsImpl(Tenants):
    def __init__(self) -> None:
        self.go = threading.Event()

    async def enter(self, key: str, name: str) -> str:
        before = tenant.get()
        tenant.set(name)
        await asyncio.to_thread(self.go.wait, 10)
        return before


def test_a_call_does_not_see_the_context_variables_of_the_one_whose_end_lets_it_in(
    memory_url, await_true
):
    impl = TenantsImpl()
    with Server(impl, transport=memory_url) as server, Channel(memory_url) as channel:
        client = Stub(Tenants, channel=channel)
        calls = [client.enter.future("k", name) for name in ("ada", "grace")]
        await_true(lambda: server.in_flight == 2)
        impl.go.set()

        assert [call.result(10) for call in calls] == ["nobody", "nobody"]


class Pairs(Protocol):
    @method(key="name")
    def meet(self, name: str) -> str: ...

    @method(delivery="effectively_once")
    def join(self, name: str) -> str: ...


class PairsImpl(Pairs):
    def __init__(self) -> None:
        self.both = threading.Barrier(2)

    def meet(self, name: str) -> str:
        self.both.wait(10)
        return name

    def join(self, name: str) -> str:
        return self.meet(name)


def test_calls_with_different_keys_run_side_by_side():
    with in_memory(Pairs, PairsImpl(), workers=2) as client:
        calls = [client.meet.future("ada"), client.meet.future("grace")]

        assert [call.result(10) for call in calls] == ["ada", "grace"]


def test_what_names_the_work_is_no_lane_so_that_its_second_caller_is_told_at_once(await_true):
    with in_memory(Pairs, PairsImpl(), workers=2) as client:
        named = client.join.with_options(idempotency_key="one")
        calls = [named.future("ada"), named.future("grace")]
        await_true(lambda: any(call.done() for call in calls))
        client.join("linus")
        codes = {getattr(call.exception(10), "code", None) for call in calls}

    assert codes == {None, "INVALID_ARGUMENT"}
