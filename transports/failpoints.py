"""Named points in the code at which a test lets a process die, wait or fail, in etcd's manner.

    RPC_FAILPOINTS="server.started:kill@3,producer.sent:sleep=0.5"

A point is given an action: `kill` (as `kill -9`), `exit=CODE`, `sleep=SECONDS`, `raise`, `drop`
(what was about to be done is left undone), `pause=FILE` (wait as long as FILE exists). With `@N` it
bites at the Nth pass alone; without, at each. `RPC_FAILPOINTS_LOG` names a file that gets a line
for each bite, so that a test sees that it happened. Off unless the variable is set when the process
starts; a point then costs one look at `on`:

    if failpoints.on and failpoints.hit("server.reply"):
        return
"""

import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from transports.errors import ConfigurationError

__all__ = ["ENV_FAILPOINTS", "ENV_LOG", "Action", "Failpoint", "arm", "hit", "on", "parse"]

ENV_FAILPOINTS = "RPC_FAILPOINTS"
ENV_LOG = "RPC_FAILPOINTS_LOG"

_ACTIONS = {
    "kill": False,
    "exit": True,
    "sleep": True,
    "raise": False,
    "drop": False,
    "pause": True,
}
"""Each action, and whether it takes an argument."""
_POLL = 0.01


class Failpoint(RuntimeError):
    """What `raise` raises: an error that no code expects."""


class Action(NamedTuple):
    """What a point does, and when."""

    kind: str
    argument: str = ""
    only: int | None = None
    """At which pass; None: at each."""


def parse(text: str) -> dict[str, Action]:
    """Read `point:action[=argument][@N],...`. Raises `ConfigurationError` for anything else."""
    actions: dict[str, Action] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        point, colon, rest = part.partition(":")
        rest, at, only = rest.partition("@")
        kind, equals, argument = rest.partition("=")
        if not (point and colon and kind in _ACTIONS) or bool(equals) != _ACTIONS[kind]:
            raise ConfigurationError(
                f"{ENV_FAILPOINTS}: {part!r} is not point:action[=argument][@N] with one of "
                + ", ".join(_ACTIONS)
            )
        if at and not only.isdigit():
            raise ConfigurationError(f"{ENV_FAILPOINTS}: {part!r} has no number after '@'")
        actions[point] = Action(kind, argument, int(only) if at else None)
    return actions


on = False
"""Whether any point is armed: look here first."""
_actions: Mapping[str, Action] = {}
_passes: dict[str, int] = {}
_lock = threading.Lock()


def arm(actions: Mapping[str, Action]) -> None:
    """Arm these points and no others; passes are counted from here."""
    global on, _actions  # noqa: PLW0603 - the one process-wide switch, as documented
    with _lock:
        _actions = dict(actions)
        _passes.clear()
        on = bool(actions)


def hit(point: str) -> bool:
    """Do what `point` is armed with; True where what comes next is to be left undone.

    Raises `Failpoint` for `raise`. Any thread; waits where it is told to.
    """
    action = _actions.get(point)
    if action is None:
        return False
    with _lock:
        _passes[point] = count = _passes.get(point, 0) + 1
    if action.only not in {None, count}:
        return False
    _note(point, action)
    return _ACT[action.kind](point, action.argument)


def _note(point: str, action: Action) -> None:
    path = os.environ.get(ENV_LOG)
    if path:
        line = f"{os.getpid()} {point} {action.kind}\n".encode()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line)  # one write: lines of several processes do not mix
        finally:
            os.close(descriptor)


def _kill(_point: str, _argument: str) -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return True  # the signal may take a moment


def _exit(_point: str, argument: str) -> bool:
    os._exit(int(argument))


def _sleep(_point: str, argument: str) -> bool:
    time.sleep(float(argument))
    return False


def _raise(point: str, _argument: str) -> bool:
    raise Failpoint(f"failpoint {point}")


def _drop(_point: str, _argument: str) -> bool:
    return True


def _pause(_point: str, argument: str) -> bool:
    while Path(argument).exists():
        time.sleep(_POLL)
    return False


_ACT = {
    "kill": _kill,
    "exit": _exit,
    "sleep": _sleep,
    "raise": _raise,
    "drop": _drop,
    "pause": _pause,
}

arm(parse(os.environ.get(ENV_FAILPOINTS, "")))
