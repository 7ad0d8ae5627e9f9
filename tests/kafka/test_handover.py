"""What waits for its turn at a server that loses its partition is left to the next owner."""

import threading
from typing import Protocol

import pytest

from rpc import Channel, Server, Stub, method

pytestmark = pytest.mark.kafka

QUICK = {"heartbeat_interval": 0.2, "session_timeout": 6.0, "partitions": 1}
CALLS = 12


class Ledger(Protocol):
    @method(key="account", timeout=60.0)
    def add(self, account: str, entry: int) -> str: ...

    @method(timeout=60.0)
    def count(self, entry: int) -> str: ...


class LedgerImpl(Ledger):
    """Notes what it begins; the first server stands still at its first entry until it is told."""

    def __init__(self, name, begun, go):
        self.name, self.begun, self.go = name, begun, go

    def add(self, account: str, entry: int) -> str:
        self.begun.append((self.name, entry))
        assert self.go.wait(60)
        return self.name

    def count(self, entry: int) -> str:
        return self.add("", entry)


@pytest.fixture
def handover(kit, eventually):
    """Return what became of calls that wait behind one that takes long, as another server comes."""

    def run(call, **old_settings):
        begun, go, always = [], threading.Event(), threading.Event()
        always.set()
        # The range assignor gives the only partition to the first member by name.
        old = kit.transport(**QUICK, **old_settings, client_id="z", revoke_timeout=0.2)
        new = kit.transport(**QUICK, client_id="a")
        with (
            Channel(kit.transport(**QUICK)) as channel,
            Server(LedgerImpl("old", begun, go), transport=old, workers=1) as server,
        ):
            stub = Stub(Ledger, channel=channel)
            calls = [call(stub, entry) for entry in range(CALLS)]
            eventually(lambda: server.in_flight == CALLS and begun)
            with Server(LedgerImpl("new", begun, always), transport=new):
                eventually(lambda: ("new", CALLS - 1) in begun)
                go.set()
                told = [one.result(60) for one in calls]
                left = server.stop(20)
        return begun, told, left

    return run


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda stub, entry: stub.add.future("ada", entry), id="one key"),
        pytest.param(lambda stub, entry: stub.count.future(entry), id="no key"),
    ],
)
def test_what_waits_for_its_turn_when_its_partition_is_given_up_runs_at_the_next_owner_alone(
    handover, call
):
    begun, told, left = handover(call)

    assert [entry for name, entry in begun if name == "old"] == [0]
    assert sorted(entry for name, entry in begun if name == "new") == list(range(CALLS))
    assert told[1:] == ["new"] * (CALLS - 1)
    assert left == 0
