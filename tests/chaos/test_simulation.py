import os
import subprocess
import sys

import pytest

from chaos.checker import Violation
from chaos.mutants import MUTANTS
from chaos.mutants.score import found_by_simulation
from chaos.simulation import simulate


@pytest.mark.timeout(300)
def test_five_hundred_seeds_keep_every_promise():
    failed: dict[str, list[Violation]] = {}
    for seed in range(500):
        violations = simulate(seed, calls=60).violations
        if violations:
            failed[f"python -m chaos.simulation --seed {seed} --calls 60"] = violations

    assert not failed, "\n".join(
        line for command, found in failed.items() for line in (command, str(found[0]))
    )


def test_a_seed_reproduces_its_run_exactly_in_another_process_too():
    command = [sys.executable, "-m", "chaos.simulation", "--seed", "7", "--calls", "60", "--trace"]

    traces = {
        subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[0]
        for hash_seed in ("1", "2")
    }

    assert traces == {f"seed 7: {simulate(7, calls=60).trace}"}
    assert simulate(8, calls=60).trace not in traces


def test_the_simulation_breaks_things_and_most_calls_succeed_nevertheless():
    runs = [simulate(seed, calls=60).run for seed in range(20)]

    faults = {event["name"] for run in runs for event in run.by_name["fault"]}
    ends = [end["outcome"] for run in runs for call in run.invoked() for end in call.ends]

    assert faults >= {"kill", "suspend", "leaders", "trouble"}
    assert ends.count("ok") > 0.7 * len(ends)
    assert {"error", "cancelled"} <= set(ends)
    assert max(event["started"] for run in runs for event in run.by_name["gauge"]) > 3
    assert any(len(call.starts) > 1 for run in runs for call in run.calls.values())
    assert any(len(call.acked) > 1 for run in runs for call in run.calls.values())


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "mutant", [one for one in MUTANTS.values() if not one.tests], ids=lambda one: one.name
)
def test_a_planted_bug_is_found(mutant):
    assert found_by_simulation(mutant)
