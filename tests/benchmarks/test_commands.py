"""The commands behind the figures of the docs: that they run, on a real broker."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.alone

KEYS = {"layer", "driver", "frames", "inflight", "payload", "style"}
FIGURES = {"rps", "p50_ms", "p99_ms", "p999_ms", "client_cpu_us", "server_cpu_us"}


def run(*command):
    """Run one of our modules; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *command], check=False, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_benchmark_compares_with_raw_drivers_and_grpc_in_one_run(bootstrap, tmp_path):
    out = tmp_path / "bench.json"
    names = ("raw kafka-python", "raw confluent", "raw aiokafka", "kafka-python", "gRPC")
    only = [argument for name in names for argument in ("--only", name)]
    how = ["--quick", "--rounds", "1", "--seconds", "0.3", "--inflight", "1", "--inflight", "64"]
    printed = run("benchmarks", *only, *how, "--bootstrap", bootstrap, "--out", str(out))

    rows = json.loads(out.read_text())
    assert {row["name"] for row in rows} == set(names)
    assert {row["layer"] for row in rows} == {"raw", "rpc", "peer"}
    assert {row["style"] for row in rows} == {"future", "aio", "threads"}
    assert all(row.keys() == {"name"} | KEYS | FIGURES for row in rows)
    assert all(row[figure] > 0 for row in rows for figure in FIGURES - {"server_cpu_us"})
    assert "throughput / raw at 64" in printed
    assert (tmp_path / "bench-inflight.svg").read_text().startswith("<?xml")


def test_the_profile_tells_the_stages_of_a_call_on_both_sides(bootstrap):
    how = ["--seconds", "0.5", "--no-samples"]
    printed = run("benchmarks.profile", "--bootstrap", bootstrap, *how)

    assert "decode, admit, hand over to a worker" in printed
    assert "reply acknowledged" in printed


def test_processes_at_rest_are_measured(bootstrap):
    how = ["--only", "kafka-python", "--seconds", "1"]
    printed = run("benchmarks.idle", "--bootstrap", bootstrap, *how)

    assert "kafka-python" in printed
    assert "%" in printed
