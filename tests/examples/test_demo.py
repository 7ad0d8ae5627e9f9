"""The demo, run as `make demo` runs it, with a broker of its own."""

import os
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.kafka


def test_the_demo_shows_what_it_promises_and_exits_with_0(start: Callable[..., Any]) -> None:
    demo = start("examples/demo/run.py")
    transcript = demo.output()
    shown = [
        "User(id=42, name='Douglas')",
        "UserNotFound: NOT_FOUND: there is no user 7 (user_id=7)",
        "DeadlineExceeded: DEADLINE_EXCEEDED: demo.users.report: no reply within 0.5 s; ",
        "the request is acknowledged at demo.users.requests[",
        "InternalError: INTERNAL: demo.users.rename: the handler failed",
        "ZeroDivisionError: user 42 cannot be called Zaphod",
        "Counter({",
        "kill -9",
        " calls, 0 failed, the slowest took ",
        "kill -TERM",
        "['two', 'two', 'two', 'two']",
        "with exit code 0",
        "All as promised",
    ]

    assert [text for text in shown if text not in transcript] == []
    assert demo.child.returncode == 0
    assert len(transcript.splitlines()) <= 50


def test_ctrl_c_ends_every_process_of_the_demo(start: Callable[..., Any]) -> None:
    demo = start("examples/demo/run.py")
    servers = re.findall(r"\d+", demo.wait_for("in processes"))[:2]
    code = demo.stop(signal.SIGINT)

    assert code == 130
    assert len(servers) == 2
    for pid in servers:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
