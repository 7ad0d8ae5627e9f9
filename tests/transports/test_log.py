"""A library's logs: silent until the application says where they go."""

import logging
import subprocess
import sys

import pytest
import structlog

from transports.log import get_logger

PROGRAM = """
from transports.log import get_logger
log = get_logger("transports.test")
log.error("before", n=1)
{configure}
log.info("after", n=2)
"""


@pytest.fixture(autouse=True)
def unconfigured():
    """Structlog as an application finds it; capturing leaves it configured."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def output(configure):
    program = PROGRAM.format(configure=configure)
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return ran.stdout, ran.stderr


def test_nothing_is_printed_until_logging_is_configured():
    assert output("") == ("", "")


def test_events_and_fields_go_to_logging_when_that_is_configured():
    stdout, stderr = output("import logging; logging.basicConfig(level='INFO')")

    assert stdout == ""
    assert stderr == "INFO:transports.test:event=after n=2\n"


def test_events_go_to_structlog_when_that_is_configured():
    stdout, stderr = output("import structlog; structlog.configure()")

    assert "after" in stdout
    assert "before" not in stdout
    assert stderr == ""


def test_what_is_below_the_level_is_left_out(caplog):
    caplog.set_level(logging.WARNING, "transports.test")
    log = get_logger("transports.test")
    log.debug("small", n=1)
    log.info("middling", n=1)
    log.warning("large", n=1)

    assert [record.getMessage() for record in caplog.records] == ["event=large n=1"]


def test_a_traceback_is_a_field(caplog):
    try:
        raise ValueError("why")
    except ValueError:
        get_logger("transports.test").exception("failed", topic="t")
    (record,) = caplog.records

    assert record.levelname == "ERROR"
    assert record.getMessage().startswith("event=failed topic=t")
    assert "ValueError: why" in record.getMessage()


def test_tests_can_capture_events():
    with structlog.testing.capture_logs() as captured:
        get_logger("transports.test").warning("seen", n=1)

    assert captured == [{"event": "seen", "n": 1, "log_level": "warning"}]
