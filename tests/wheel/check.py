"""Build the wheel, install it into an empty environment elsewhere, and make a call with it.

Run by `make wheel`, with the Python of the development environment. Everything is made in a
temporary folder outside of the checkout and removed at the end. Exits with 1 and the reason where
something is missing; the index of packages is the one that pip is configured with.
"""

import os
import subprocess
import sys
import tempfile
import textwrap
import time
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
NEEDED = (
    "rpc/py.typed",
    "contracts/py.typed",
    "transports/py.typed",
    "transports/kafka/broker/kafka.lock",
    "transports/kafka/broker/bootstrap.checkpoint",
)
PACKAGES = {"rpc", "contracts", "transports"}

CALL = """
    import sys
    from pathlib import Path
    from typing import Protocol

    import rpc

    class Users(Protocol):
        @rpc.method(timeout=10)
        def name(self, user_id: int) -> str: ...

    class UsersImpl(Users):
        def name(self, user_id: int) -> str:
            return f"user {user_id}"

    with rpc.Server(UsersImpl(), transport="memory://wheel"):
        with rpc.connect(Users, "memory://wheel") as client:
            assert client.name(42) == "user 42"

    home = Path(sys.prefix).resolve()
    for package in ("rpc", "contracts", "transports"):
        found = Path(__import__(package).__file__).resolve()
        assert home in found.parents, f"{package} comes from {found}"
        assert (found.parent / "py.typed").is_file(), f"{package} has no py.typed"
    try:
        import click
    except ImportError:
        print("ok")
    else:
        sys.exit("click is installed, though no extra was asked for")
"""


class Failed(Exception):
    """The wheel is not what it should be; the message says why."""


def say(text: str) -> None:
    """Write `text` at once: what takes long is named before it begins."""
    sys.stdout.write(text)
    sys.stdout.flush()


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    say(f"wheel: {what} ... ")
    began = time.monotonic()
    try:
        yield
    except BaseException:
        say("failed\n")
        raise
    say(f"{time.monotonic() - began:.1f} s\n")


def run(*command: str | Path, cwd: Path, succeeds: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `command` in `cwd`, without what the surroundings say of Python."""
    surroundings = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV", "RPC_"))
    }
    outcome = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if succeeds and outcome.returncode != 0:
        told = f"{outcome.stdout}\n{outcome.stderr}".strip()
        raise Failed(f"{Path(str(command[0])).name} exited with {outcome.returncode}:\n{told}")
    return outcome


def build(folder: Path) -> Path:
    """Build the wheel of the checkout into `folder`."""
    command = (sys.executable, "-m", "build", "--wheel", "--no-isolation")
    run(*command, "--outdir", folder / "dist", CHECKOUT, cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> None:
    """Compare what is in the wheel with what must be and what may be."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    if missing := [name for name in NEEDED if name not in names]:
        raise Failed(f"{wheel.name} lacks {', '.join(missing)}")
    tops = {name.partition("/")[0] for name in names}
    if strange := {top for top in tops - PACKAGES if not top.endswith(".dist-info")}:
        raise Failed(f"{wheel.name} brings {', '.join(sorted(strange))} along")
    if not any(name.endswith("licenses/LICENSE") for name in names):
        raise Failed(f"{wheel.name} has no licence in it")
    if compiled := [name for name in names if name.endswith(".pyc")]:
        raise Failed(f"{wheel.name} has compiled files in it, such as {compiled[0]}")


def install(wheel: Path, folder: Path) -> Path:
    """Install `wheel`, with no extras, into an empty environment; return where its programs are."""
    home = folder / "environment"
    venv.create(home, with_pip=True)
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    pip = (programs / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, wheel, cwd=folder)
    return programs


def check_call(programs: Path, folder: Path) -> None:
    """Make a typed call over the memory transport from outside of the checkout."""
    outcome = run(programs / "python", "-c", textwrap.dedent(CALL), cwd=folder)
    if outcome.stdout != "ok\n" or outcome.stderr:
        raise Failed(f"the call printed {outcome.stdout!r} and {outcome.stderr!r}")


def check_command(programs: Path, folder: Path) -> None:
    """Run the console script, which must say what to install."""
    outcome = run(programs / "rpc", "--help", cwd=folder, succeeds=False)
    told = outcome.stdout + outcome.stderr
    if outcome.returncode == 0 or "parley-rpc[cli]" not in told or "Traceback" in told:
        raise Failed(f"without extras, rpc exits with {outcome.returncode} and says: {told!r}")


def main() -> int:
    """Do all of it; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="parley-wheel-") as name:
        folder = Path(name).resolve()
        try:
            if CHECKOUT in folder.parents:
                raise Failed(f"the temporary folder {folder} is inside of the checkout")
            with step("build"):
                wheel = build(folder)
            with step(f"look into {wheel.name}"):
                check_contents(wheel)
            with step("install into an empty environment"):
                programs = install(wheel, folder)
            with step("make a call"):
                check_call(programs, folder)
            with step("run the rpc command without its extra"):
                check_command(programs, folder)
        except Failed as error:
            sys.stderr.write(f"wheel: {error}\n")
            return 1
    say("wheel: good\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
