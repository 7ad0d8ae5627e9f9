import os
import subprocess
import sys
import time

from chaos.clock import BACK, ENV, FORWARD

WATCHED = """
import sys, time
from chaos.clock import WallClock
clock, monotonic = WallClock(), time.monotonic()
print("ready", flush=True)
while line := sys.stdin.readline():
    print(time.time(), time.time_ns() / 1e9, time.monotonic() - monotonic < 60, flush=True)
"""


def test_a_process_s_wall_clock_is_wrong_and_can_be_set_and_its_monotonic_clock_is_right():
    with subprocess.Popen(
        [sys.executable, "-c", WATCHED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, ENV: "-3600", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:

        def hours():
            process.stdin.write("\n")
            process.stdin.flush()
            told = process.stdout.readline().split()
            assert told[2] == "True"
            assert abs(float(told[0]) - float(told[1])) < 60
            return round((float(told[0]) - time.time()) / 3600)

        assert process.stdout.readline() == "ready\n"
        assert hours() == -1
        for number, then in ((FORWARD, 0), (FORWARD, 1), (BACK, 0)):
            process.send_signal(number)
            assert hours() == then
        process.stdin.close()
