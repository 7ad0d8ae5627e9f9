import re
from pathlib import Path

import pytest

from chaos import nemesis
from chaos.nemesis import Nemesis, Unobserved
from chaos.rules import Rules
from chaos.schedule import FAILPOINTS, NETWORK, kinds

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", kinds(3))
def test_every_fault_that_a_schedule_names_can_be_made(name):
    if name in NETWORK:
        rules, bite, cuts = nemesis._NETWORK[name]
        assert rules != Rules() or cuts
        assert bite in Rules.__dataclass_fields__ or bite == "cut"
    else:
        assert callable(getattr(Nemesis, "_" + name.replace("-", "_")))


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
        nemesis.see(lambda: False, "delay did not bite", 0.01)
