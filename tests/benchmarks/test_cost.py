"""What the framework itself costs is measured without a broker."""

import json
import subprocess
import sys


def test_the_cost_of_each_side_is_told_beside_the_same_steps_without_it(tmp_path):
    out = tmp_path / "cost.json"
    few = ["--rounds", "1", "--batches", "1", "--inflight", "32"]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.cost", *few, "--out", out],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    sides = json.loads(out.read_text())
    assert {name.split()[0] for name in sides} == {"client", "server"}
    assert all(side["with_us"] > side["without_us"] > 0 for side in sides.values())
