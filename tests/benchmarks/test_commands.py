"""The commands behind the figures of the docs: that they run."""

import json
import subprocess
import sys


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
