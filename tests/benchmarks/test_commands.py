"""The commands behind the figures of the docs: that they run, and what they promise."""

import json
import subprocess
import sys


def test_a_soak_with_kills_keeps_every_promise(bootstrap):
    """`make soak` runs 20 000; this run is as long as a group needs to notice a kill."""
    soak = [sys.executable, "-m", "benchmarks.soak", "--calls", "6000", "--rate", "600"]
    run = subprocess.run(
        [*soak, "--bootstrap", bootstrap], check=False, capture_output=True, text=True, timeout=110
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "every promise was kept" in run.stdout


def test_the_benchmark_compares_with_the_raw_driver_in_one_run(bootstrap, tmp_path):
    out = tmp_path / "bench.json"
    bench = [sys.executable, "-m", "benchmarks", "--rounds", "1", "--seconds", "0.3"]
    run = subprocess.run(
        [*bench, "--bootstrap", bootstrap, "--out", out],
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    rows = json.loads(out.read_text())
    assert {row["layer"] for row in rows} == {"raw", "rpc"}
    assert {row["inflight"] for row in rows} == {1, 64, 512}
    assert all(row["rps"] > 0 and row["p50_ms"] > 0 for row in rows)
