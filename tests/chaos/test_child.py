"""Processes of a run end with it, however it ends."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chaos.child import Child
from chaos.fleet import RunFailed, ended_in_order, ready

WAITS = """
import signal, sys, threading
from chaos.child import end_with_parent
end_with_parent()
over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
print("ready", flush=True)
while not over.wait(0.05):
    pass
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A folder of modules for children, on their path."""
    (tmp_path / "waits.py").write_text(WAITS)
    (tmp_path / "fails.py").write_text("raise SystemExit(5)")
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{root}")
    return tmp_path


@pytest.fixture
def child(modules):
    made = Child("waits", 0, modules)
    yield made
    made.kill()


def gone(pid):
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_child_is_ready_stops_goes_on_and_ends_in_order(child):
    assert child.await_ready()
    child.signal(signal.SIGSTOP)
    until(lambda: child.state == "T")
    child.signal(signal.SIGCONT)
    until(lambda: child.state != "T")
    ended_in_order([child])

    assert not child.running


def test_one_that_fails_to_start_is_told(modules):
    child = Child("fails", 1, modules)
    try:
        with pytest.raises(RunFailed, match="fails 1 did not become ready"):
            ready(child)
    finally:
        child.kill()


def test_a_killed_child_is_no_orderly_end(child):
    assert child.await_ready()
    child.signal(signal.SIGKILL)

    with pytest.raises(RunFailed, match="ended with -9"):
        ended_in_order([child])


def test_a_child_ends_when_its_parent_is_killed(modules):
    starts = (
        "import sys, time\nfrom pathlib import Path\nfrom chaos.child import Child\n"
        "child = Child('waits', 0, Path(sys.argv[1]))\nassert child.await_ready()\n"
        "print(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", starts, str(modules)], stdout=subprocess.PIPE)
    with parent:
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    until(lambda: gone(pid))


def until(condition, patience=10.0):
    deadline, pause = time.monotonic() + patience, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.01)
