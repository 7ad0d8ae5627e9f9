"""A child ends with its parent, however the parent ends. POSIX pids; Linux for the forked one."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from transports.kafka.broker.process import GuardedProcess

FOREVER = [sys.executable, "-c", "import signal; signal.pause()"]
DEAF_PROGRAM = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
signal.pause()
"""
DEAF = [sys.executable, "-c", DEAF_PROGRAM]
PARENT = """
import os, signal, sys
from pathlib import Path
from transports.kafka.broker.process import GuardedProcess
child = GuardedProcess([sys.executable, "-c", "import signal; signal.pause()"],
                       Path(sys.argv[1]), Path(sys.argv[1]) / "log")
if "fork" in sys.argv and os.fork() == 0:
    signal.pause()                     # holds the guard's pipe open, as any forked worker does
print(child.pid, flush=True)
if "leave" not in sys.argv:
    signal.pause()
"""


def ends(pid: int, within: float) -> bool:
    """Wait for the end of a process that need not be a child of this one."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], within)[0])
    finally:
        os.close(watched)


def children() -> set[str]:
    """Return the ids of the children of this process, of all its threads."""
    files = Path("/proc/self/task").glob("*/children")
    return {pid for file in files for pid in file.read_text().split()}


@pytest.fixture
def parent(tmp_path):
    """Start parents of a guarded child, in a process group of their own that is ended after."""
    started = []

    def start(*how: str) -> tuple[subprocess.Popen, int]:
        process = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(tmp_path), *how],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_killed_parent_takes_its_child_with_it(parent):
    process, child = parent()

    process.kill()

    assert ends(child, within=5)


def test_a_killed_parent_takes_its_child_with_it_though_a_fork_of_it_lives_on(parent):
    process, child = parent("fork")

    process.kill()

    assert ends(child, within=5)


def test_a_parent_that_leaves_without_a_word_takes_its_child_with_it(parent):
    process, child = parent("leave", "fork")

    process.wait(10)

    assert ends(child, within=5)


def test_a_child_that_was_told_to_end_has_ended_and_left_no_guard(tmp_path):
    before = children()
    child = GuardedProcess(FOREVER, tmp_path, tmp_path / "log")
    meanwhile = children() - before

    child.terminate(timeout=10)

    assert not child.running
    assert len(meanwhile) == 2
    assert children() == before


def test_a_child_that_will_not_end_is_killed_after_the_timeout(tmp_path):
    log = tmp_path / "log"
    child = GuardedProcess(DEAF, tmp_path, log)
    while "deaf" not in log.read_text():
        assert not child.ended_within(0.01)
    started = time.monotonic()

    child.terminate(timeout=0.2)

    assert not child.running
    assert 0.2 <= time.monotonic() - started < 5


def test_output_is_appended_to_the_log(tmp_path):
    log = tmp_path / "log"
    for word in ("one", "two"):
        child = GuardedProcess([sys.executable, "-c", f"print('{word}')"], tmp_path, log)
        assert child.ended_within(10)
        child.kill()

    assert log.read_text() == "one\ntwo\n"


def test_what_cannot_be_started_is_told_and_leaves_no_process(tmp_path):
    before = children()

    with pytest.raises(FileNotFoundError):
        GuardedProcess([Path("/no/such/program")], tmp_path, tmp_path / "log")

    assert children() == before


def test_a_child_that_cannot_be_guarded_is_not_left_running(tmp_path, monkeypatch):
    before = children()
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    with pytest.raises(FileNotFoundError):
        GuardedProcess(FOREVER, tmp_path, tmp_path / "log")

    assert children() == before


def test_an_interrupt_before_there_is_a_guard_leaves_no_child(tmp_path, monkeypatch):
    started, popen = [], subprocess.Popen

    def start(*arguments, **options):
        if started:
            raise KeyboardInterrupt
        started.append(popen(*arguments, **options))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(KeyboardInterrupt):
        GuardedProcess(FOREVER, tmp_path, tmp_path / "log")

    assert started[0].poll() is not None
