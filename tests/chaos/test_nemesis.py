import re
from pathlib import Path

import pytest

from chaos import nemesis
from chaos.nemesis import Nemesis
from chaos.observation import Unobserved, see
from chaos.rules import Rules
from chaos.schedule import FAILPOINTS, NETWORK, UPHEAVALS, Step, kinds
from chaos.upheavals import Upheavals


class Crowd:
    """So many brokers, servers and clients, none of which is touched before a fault begins."""

    nodes = servers = clients = tuple(
        type("One", (), {"pid": number, "running": True})() for number in range(3)
    )


ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", kinds(3))
def test_every_fault_that_a_schedule_names_can_be_made(name):
    if name in NETWORK:
        rules, bite, cuts = nemesis._NETWORK[name]
        assert rules != Rules() or cuts
        assert bite in Rules.__dataclass_fields__ or bite == "cut"
    elif name in UPHEAVALS:
        fault, _ = Upheavals(Crowd(), Crowd(), Path()).begin(Step(name, 3))
        assert hasattr(fault, "__next__")
    else:
        assert callable(getattr(Nemesis, "_" + name.replace("-", "_")))


def test_a_clock_is_that_of_a_process_that_runs():
    crowd = Crowd()
    crowd.servers = [type("One", (), {"pid": pid, "running": pid == 7})() for pid in (6, 7, 8)]

    fault, about = Upheavals(crowd, crowd, Path()).begin(Step("step-server-clock", 3))

    fault.close()
    assert about["process"] == 7


def test_the_points_at_which_servers_are_let_die_are_in_the_code():
    sources = [*(ROOT / "rpc").rglob("*.py"), *(ROOT / "transports").rglob("*.py")]
    named = {
        point
        for source in sources
        for point in re.findall(r'hit\("([a-z_.]+)"\)', source.read_text("utf-8"))
    }

    assert FAILPOINTS.keys() <= named


def test_what_is_not_seen_in_time_fails_the_run():
    with pytest.raises(Unobserved, match="did not bite"):
        see(lambda: False, "delay did not bite", 0.01)
