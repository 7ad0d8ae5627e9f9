"""User code must pass, or fail, under `mypy --strict` and strict pyright exactly as it is marked.

Above a line that must be refused stands what mypy and what pyright say of it, by their own codes:
`# refused: arg-type | reportArgumentType`. Every other line must be accepted.
"""

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "cases"
ROOT = CASES.parents[2]
FILES = sorted(path.name for path in CASES.glob("*.py"))
MARK = re.compile(r" *# refused: (?P<mypy>[\w, -]+) \| (?P<pyright>[\w, ]+)$")
MYPY_ERROR = re.compile(r"(?P<file>.+?\.py):(?P<line>\d+): error: .*\[(?P<code>[\w-]+)\]$")


def _marked(name, checker):
    lines = (CASES / name).read_text().splitlines()
    marks = ((number, MARK.match(line)) for number, line in enumerate(lines, 2))
    return {number: set(mark[checker].split(", ")) for number, mark in marks if mark}


def _run(*command):
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        timeout=110,
        cwd=ROOT,
        env=environment,
        check=False,
    )


@pytest.fixture(scope="session")
def mypy():
    """What mypy refuses, by file and line."""
    ran = _run(
        "mypy",
        "--config-file=",
        "--strict",
        "--python-version=3.11",
        "--cache-dir=.mypy_cache/typing",
        *(str(CASES / name) for name in FILES),
    )
    assert ran.returncode in {0, 1}, ran.stdout + ran.stderr
    refused = defaultdict(lambda: defaultdict(set))
    for error in filter(None, map(MYPY_ERROR.match, ran.stdout.splitlines())):
        refused[Path(error["file"]).name][int(error["line"])].add(error["code"])
    return refused


@pytest.fixture(scope="session")
def pyright():
    """What pyright refuses, by file and line."""
    ran = _run("pyright", f"--project={CASES}", f"--pythonpath={sys.executable}", "--outputjson")
    assert ran.returncode in {0, 1}, ran.stdout + ran.stderr
    report = json.loads(ran.stdout)
    assert report["summary"]["filesAnalyzed"] == len(FILES)
    refused = defaultdict(lambda: defaultdict(set))
    for problem in report["generalDiagnostics"]:
        line = problem["range"]["start"]["line"] + 1
        refused[Path(problem["file"]).name][line].add(problem.get("rule", "syntax"))
    return refused


@pytest.mark.parametrize("name", FILES)
def test_mypy_refuses_what_is_marked_and_nothing_else(name, mypy):
    assert mypy[name] == _marked(name, "mypy")


@pytest.mark.parametrize("name", FILES)
def test_pyright_refuses_what_is_marked_and_nothing_else(name, pyright):
    assert pyright[name] == _marked(name, "pyright")


@pytest.mark.parametrize("name", FILES)
def test_marks_stand_in_the_files_that_must_be_refused_alone(name):
    assert bool(_marked(name, "mypy")) == name.startswith("reject_")


def test_both_directions_are_there():
    assert [name.partition("_")[0] for name in FILES] == ["accept"] * 3 + ["reject"] * 3 + [
        "users.py"
    ]


def test_no_case_switches_a_checker_off():
    off = re.compile(r"type: ignore|pyright: (?!report)")

    assert [name for name in FILES if off.search((CASES / name).read_text())] == []
