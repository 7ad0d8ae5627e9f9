"""README and docs: their code is type-checked and run, their links and commands exist."""

import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from rpc import Channel, RetryPolicy, Server
from transports.kafka import KafkaConfig

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMED = {
    "User": "from examples.quickstart.contract import User",
    "UserNotFound": "from examples.quickstart.contract import UserNotFound",
    "UserService": "from examples.quickstart.contract import UserService",
    "Users": "from examples.quickstart.server import Users",
    "users": "from stub import users",
    "channel": "from stub import channel",
}
"""What pages use without saying where it is from, as their reader knows by then."""
STUB = """\
from examples.quickstart.contract import UserService
from rpc import Stub, default_channel

channel = default_channel()
users = Stub(UserService, channel=channel)
"""


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def module(block: str) -> str:
    """Return `block` with imports of the names that it uses and does not make."""
    imports = [line for name, line in NAMED.items() if uses(name, block) and not makes(name, block)]
    return "\n".join([*imports, "", block])


def uses(name: str, block: str) -> bool:
    return re.search(rf"(?<![.\w]){name}\b(?!=)", block) is not None


def makes(name: str, block: str) -> bool:
    return re.search(rf"(?:class |as ){name}\b|^{name} = ", block, re.MULTILINE) is not None


def run(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args], cwd=cwd, capture_output=True, text=True, check=False, timeout=110
    )


def write_modules(folder: Path) -> list[str]:
    (folder / "stub.py").write_text(STUB)
    names = ["stub.py"]
    for page in PAGES:
        for number, block in enumerate(blocks(page)):
            names.append(f"{page.stem.lower()}_{number}.py")
            (folder / names[-1]).write_text(module(block))
    return names


def test_the_code_of_all_pages_passes_mypy_strict(tmp_path: Path) -> None:
    names = write_modules(tmp_path)
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\nstrict = True\nmypy_path = {ROOT}\n")
    checked = run("-m", "mypy", "--config-file", str(config), *names, cwd=tmp_path)

    assert len(names) > 20
    assert checked.returncode == 0, checked.stdout


def test_the_first_block_of_the_readme_runs_with_no_broker(tmp_path: Path) -> None:
    script = tmp_path / "first.py"
    script.write_text(blocks(ROOT / "README.md")[0])
    ran = run(str(script), cwd=ROOT)

    assert ran.stderr == ""
    assert ran.stdout == "User(id=42, name='Ada')\n"


@pytest.mark.parametrize("page", ["contracts.md"])
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(ROOT / "docs" / page)):
        script = tmp_path / f"block_{number}.py"
        script.write_text(module(block))
        ran = run(str(script), cwd=ROOT)

        assert ran.returncode == 0, ran.stderr


def test_the_tests_that_the_page_on_testing_shows_pass(tmp_path: Path) -> None:
    shown = [block for block in blocks(ROOT / "docs" / "testing.md") if "def test_" in block]
    for number, block in enumerate(shown):
        (tmp_path / f"test_shown_{number}.py").write_text(module(block))
    ran = run("-m", "pytest", "-q", "-W", "error", str(tmp_path), cwd=ROOT)

    assert len(shown) == 3
    assert ran.returncode == 0, ran.stdout


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text())
    missing = []
    for path, anchor in links:
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append((path, anchor))

    assert missing == []


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(page.read_text() for page in PAGES)
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", text, re.MULTILINE))

    assert {"demo", "test"} <= named
    assert named <= targets


def listed(page: str, heading: str) -> set[str]:
    """Return the names in the first column of the tables under `heading`."""
    text = (ROOT / "docs" / page).read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def keywords(function: object) -> set[str]:
    assert callable(function)
    return {p.name for p in inspect.signature(function).parameters.values() if p.name != "self"}


def test_every_setting_of_kafka_is_documented() -> None:
    settings = {field.name for field in fields(KafkaConfig)} - {"bootstrap", "driver"}

    assert settings <= listed("kafka.md", "Settings")


def test_options_of_channels_servers_and_retries_are_documented() -> None:
    inside = {"clock", "rng", "threads", "implementations"}

    assert keywords(Channel.__init__) - inside == listed("calling.md", "Channels")
    assert keywords(Server.__init__) - inside == listed("serving.md", "Options")
    assert set(RetryPolicy.__struct_fields__) == listed("calling.md", "Retries")


def test_every_event_that_is_documented_is_logged() -> None:
    code = "\n".join(
        path.read_text() for room in ("rpc", "transports") for path in (ROOT / room).rglob("*.py")
    )
    text = (ROOT / "docs" / "serving.md").read_text().split("| event |")[1].split("\n\n")[0]
    events = re.findall(r"`(\w+\.\w+)`", text)

    assert len(events) > 10
    assert [event for event in events if f'"{event}"' not in code] == []


def test_every_test_that_a_page_names_exists() -> None:
    pages = {page: page.read_text() for page in (ROOT / "docs").glob("*.md")}
    named = {
        (path, name)
        for text in pages.values()
        for path, name in re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", text)
    }
    missing = [
        f"{path}::{name}"
        for path, name in sorted(named)
        if not (ROOT / path).exists() or f"def {name}(" not in (ROOT / path).read_text()
    ]

    assert len(named) > 20
    assert missing == []
