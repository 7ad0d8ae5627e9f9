"""Mixes of faults by fixed seeds: `make chaos`, for as long as CI can wait."""

import subprocess
import sys

import pytest

from chaos.checker import load_run
from chaos.run import Plan

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


def run(folder, *arguments):
    command = [sys.executable, "-m", "chaos", "--out", str(folder), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=230)


@pytest.mark.parametrize(
    ("brokers", "minutes", "seed", "faults"),
    [
        (1, "0.5", 384, {"lose-acknowledgements", "kill-server", "blackhole-up", "failpoint"}),
        (3, "0.75", 30, {"kill-server", "hold-fetch", "kill-broker", "rebalance-storm"}),
    ],
)
def test_no_promise_is_broken_while_everything_else_is(brokers, minutes, seed, faults, tmp_path):
    plan = Plan(brokers=brokers, seconds=float(minutes) * 60, seed=seed)
    assert faults <= {step.name for period in plan.periods for step in period.steps}
    arguments = ["--brokers", str(brokers), "--minutes", minutes, "--seed", str(seed)]

    done = run(tmp_path / "run", *arguments, "--rate", "100")

    assert done.returncode == 0, done.stdout + done.stderr
    assert plan.command.split(" --rate")[0] in done.stdout
    assert (tmp_path / "run.md").read_text().startswith("# Chaos: passed")


CLOCKS = ["step-client-clock", "step-server-clock"]


def test_no_promise_is_broken_where_everything_goes_at_once(tmp_path):
    faults = ["overload", "all-brokers-down"]
    plan = Plan(brokers=1, seconds=9, seed=0, only=tuple(faults))
    assert {step.name for period in plan.periods for step in period.steps} == set(faults)
    only = [word for name in faults for word in ("--only", name)]

    done = run(
        tmp_path / "run",
        *("--brokers", "1", "--minutes", "0.15", "--rate", "100", "--seed", str(plan.seed), *only),
    )

    assert done.returncode == 0, done.stdout + done.stderr  # 2: a fault was not seen to bite


@pytest.mark.alone  # no call may fail, so there must be room for all of them
def test_servers_and_clients_that_are_killed_and_stopped_an_hour_apart_cost_no_idempotent_call(
    tmp_path,
):
    faults = ["kill-server", "terminate-server", "kill-client", *CLOCKS]
    only = [word for name in faults for word in ("--only", name)]

    done = run(
        tmp_path / "run",
        *("--brokers", "1", "--minutes", "0.4", "--rate", "100", "--seed", "5"),
        *("--skew", "3600", *only, "--must-succeed", "echo"),
    )

    assert done.returncode == 0, done.stdout + done.stderr
    checked = load_run(tmp_path / "run")
    skews = {gauge["skew"] for gauge in checked.by_name["gauge"]}
    assert {-3600.0, 3600.0} <= skews
    expiring = [call for call in checked.invoked() if call.invoke["method"] == "expire"]
    ends = [call.ends[0] for call in expiring if call.ends]  # those of a killed client have none
    assert any(end["code"] == "DEADLINE_EXCEEDED" for end in ends)
    assert len(list(checked.invoked())) > 2000
