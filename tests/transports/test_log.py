"""Loggers of the library: silent until configured, and never the end of a thread."""

import logging
import subprocess
import sys

import structlog

from transports.log import get_logger

FIRST_EVENTS = """
import logging, sys, threading
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
from transports.log import get_logger
log, barrier, failed = get_logger("rpc.test"), threading.Barrier(16), []
def first():
    barrier.wait()
    try:
        log.warning("happened")
    except BaseException as error:
        failed.append(error)
threads = [threading.Thread(target=first) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.exit(repr(failed) if failed else 0)
"""


def test_many_threads_may_log_the_first_event_while_structlog_is_being_imported():
    run = subprocess.run(
        [sys.executable, "-c", FIRST_EVENTS], check=False, capture_output=True, text=True
    )

    assert run.returncode == 0, run.stderr
    assert run.stderr.count("happened") == 16


def test_an_event_below_the_level_of_the_application_is_not_even_written(caplog):
    caplog.set_level(logging.WARNING, logger="rpc.test")
    get_logger("rpc.test").info("too quiet")
    get_logger("rpc.test").warning("loud enough", call_id="ab")

    assert [record.getMessage() for record in caplog.records] == ['event="loud enough" call_id=ab']


def test_a_processor_that_raises_is_told_to_logging_and_not_to_the_thread_that_logs(caplog):
    def broken(logger, name, event):
        raise KeyError("of the application")

    structlog.configure(processors=[broken])
    try:
        get_logger("rpc.test").info("happened")
    finally:
        structlog.reset_defaults()

    assert "event happened could not be logged" in caplog.text
    assert "of the application" in caplog.text
