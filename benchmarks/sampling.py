"""Where the processor time of a client and a server goes: samples of py-spy, in groups.

A sample is of the thread that holds the interpreter's lock, so that none that waits is counted. The
samples share out the processor time of the process, system calls included.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from benchmarks import report
from benchmarks.process import python

_RATE = 250  # samples a second
_IN_FLIGHT = 512
_FRAME = re.compile(r"(?P<function>.*) \((?P<file>.*):\d+\)$")
_OURS = {"rpc", "contracts", "transports", "benchmarks"}


class Profile(NamedTuple):
    """Samples of one process, and what it spent for each call."""

    cpu_us: float
    groups: Counter
    """Samples by thread and group of functions."""
    functions: Counter
    """Samples by file and function: those in which it was the innermost."""
    within: Counter
    """Likewise those in which it was anywhere on the stack."""

    def us(self, samples):
        """Return what so many samples stand for, in microseconds for each call."""
        return self.cpu_us * samples / max(1, self.groups.total())


def sample(url, seconds, payload):
    """Return the profile of each side, with 512 calls in flight by `.future`."""
    server = python("benchmarks.child", "server", "ours", json.dumps({"url": url}))
    client = python("benchmarks.child", "client", "ours", json.dumps({"url": url}))
    try:
        what = {"style": "future", "in_flight": _IN_FLIGHT, "payload": payload}
        client.ask(**what, seconds=1.0)
        before = server.cpu()
        plain = client.ask(**what, seconds=seconds)
        spent = {
            "client": plain["client_cpu_us"],
            "server": (server.cpu() - before) / max(1, plain["calls"]) * 1e6,
        }
        with tempfile.TemporaryDirectory() as folder:
            during = seconds + 2.0  # py-spy begins a moment later
            watched = {
                side: _watch(child.pid, seconds, Path(folder) / side)
                for side, child in (("client", client), ("server", server))
            }
            client.ask(**what, seconds=during)
            return {side: _read(spent[side], *watched[side]) for side in watched}
    finally:
        client.close()
        server.close()


def _watch(pid, seconds, out):
    command = [
        Path(sys.executable).with_name("py-spy"),
        "record",
        "--pid",
        str(pid),
        "--threads",
        "--gil",
    ]
    how = ["--format", "raw", "--rate", str(_RATE), "--duration", str(int(seconds)), "-o", out]
    return subprocess.Popen(
        [*command, *how], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ), out


def _read(cpu_us, process, out):
    _, said = process.communicate(timeout=60)
    if process.returncode:
        raise SystemExit(f"py-spy can't look into our own processes here: {said}")
    groups, functions, within = Counter(), Counter(), Counter()
    for line in out.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        named = [match.groups() for frame in frames if (match := _FRAME.match(frame))]
        if not named:
            continue
        samples = int(count)
        name = re.sub(r"^thread \(.*?\): |\d+$|-rpc(-rpc\.replies\.rpc)?$", "", thread)
        groups[name, _group(*named[-1], named)] += samples
        functions[named[-1]] += samples
        for one in set(named):
            within[one] += samples
    return Profile(cpu_us, groups, functions, within)


def _group(function, file, stack):
    """Return what a function belongs to; what is none of ours or the driver's, to its caller."""
    for _, its_file in reversed(stack):
        top = its_file.split("/")[0] if "/" in its_file else ""
        if top in _OURS:
            return top
        if top in {"kafka", "confluent_kafka", "asyncio"}:
            return top
    return "threading" if file.endswith("threading.py") else function


def groups_table(side, profile, *, markdown):
    """Return the microseconds of each thread and group for a call."""
    title = f"{side}: {profile.cpu_us:.1f} us of processor time per call, 512 in flight"
    shown = report.new_table(title, markdown=markdown)
    for name in ("thread", "in", "us per call"):
        shown.add_column(name, justify="right" if name == "us per call" else "left")
    for (thread, group), samples in profile.groups.most_common(20):
        shown.add_row(thread, group, f"{profile.us(samples):.1f}")
    return shown


def top_table(side, profile, count, *, markdown):
    """Return the functions that take most of the time themselves."""
    shown = report.new_table(f"{side}: the functions that take most", markdown=markdown)
    for name in ("function", "file", "us per call", "with callees"):
        shown.add_column(name, justify="left" if name in {"function", "file"} else "right")
    for (function, file), samples in profile.functions.most_common(count):
        within = profile.us(profile.within[function, file])
        shown.add_row(function, file, f"{profile.us(samples):.2f}", f"{within:.2f}")
    return shown
