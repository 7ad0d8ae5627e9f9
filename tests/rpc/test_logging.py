"""What is logged: events with fields, never a payload; and nothing unless it is asked for."""

import contextlib
from typing import Protocol

import pytest
import structlog

import rpc
from contracts import RetryPolicy, method
from rpc.call_log import log_calls
from rpc.testing import Stepper
from transports.errors import Unreachable

SECRET = "hunter2"


class Vault(Protocol):
    @method(timeout=2.0)
    def open(self, password: str) -> str: ...

    @method(timeout=2.0)
    def fail(self, password: str) -> str: ...


class VaultImpl(Vault):
    def open(self, password: str) -> str:
        return password

    def fail(self, password: str) -> str:
        raise KeyError("no such vault")


@pytest.fixture
def vault():
    bench = Stepper(Vault, VaultImpl(), interceptors=[log_calls])
    yield bench
    bench.close()


def fields(logs, event):
    (line,) = [line for line in logs if line["event"] == event]
    return line


def test_a_call_that_ends_is_one_line_with_its_fields(vault):
    with structlog.testing.capture_logs() as logs:
        call = vault.client.open.future(SECRET)
        vault.step()
    line = fields(logs, "call.ended")

    assert line.pop("elapsed") >= 0
    assert line == {
        "event": "call.ended", "log_level": "info", "side": "client", "service": "Vault",
        "method": "open", "call_id": call.call_id.hex(), "attempt": 1, "code": "OK",
    }  # fmt: skip


def test_a_call_that_fails_is_one_line_with_code_and_certainty(vault):
    with structlog.testing.capture_logs() as logs:
        vault.client.fail.future(SECRET)
        vault.step()
    line = fields(logs, "call.failed")

    assert (line["log_level"], line["code"], line["certainty"]) == (
        "warning", "INTERNAL", "EXECUTED",
    )  # fmt: skip


def test_an_error_that_is_no_rpc_error_is_told_by_its_type_alone(line):
    def breaks(call):
        raise ValueError(SECRET)
        yield call

    bench = line(Vault, interceptors=[log_calls, breaks])
    with structlog.testing.capture_logs() as logs:
        bench.client.open.future("x")

    assert fields(logs, "call.failed")["error"] == "ValueError"


def test_a_handlers_failure_is_logged_by_the_server_with_id_and_traceback(vault):
    with structlog.testing.capture_logs() as logs:
        call = vault.client.fail.future(SECRET)
        vault.step()
    line = fields(logs, "handler.failed")

    assert (line["service"], line["method"], line["attempt"]) == ("Vault", "fail", 1)
    assert line["call_id"] == call.call_id.hex()
    assert line["error_id"] == call.exception(0).error_id
    assert line["elapsed"] >= 0
    assert isinstance(line["exc_info"], KeyError)


def test_an_expired_call_is_information_and_not_an_error(vault):
    with structlog.testing.capture_logs() as logs:
        vault.client.open.future(SECRET)
        vault.advance(2.0)
    line = fields(logs, "call.expired")

    assert (line["log_level"], line["elapsed"], line["certainty"]) == ("info", 2.0, "UNKNOWN")


def test_a_retry_tells_its_call_and_its_attempt(line):
    bench = line(Vault, retry=RetryPolicy())
    with structlog.testing.capture_logs() as logs:
        call = bench.client.open.future(SECRET)
        bench.wire.last.fail(Unreachable("no broker"))
        bench.advance(0.05)
    line = fields(logs, "call.retried")

    assert (line["call_id"], line["attempt"]) == (call.call_id.hex(), 2)
    assert (line["service"], line["method"]) == ("Vault", "open")
    assert line["elapsed"] == pytest.approx(0.05)


def test_a_callback_that_fails_is_logged(vault):
    call = vault.client.open.future(SECRET)
    call.add_done_callback(lambda _call: 1 / 0)
    with structlog.testing.capture_logs() as logs:
        vault.step()

    assert fields(logs, "call.callback_failed")["method"] == "Vault.open"


def test_no_line_holds_an_argument_or_a_result(vault):
    with structlog.testing.capture_logs() as logs:
        for name in ("open", "fail"):
            getattr(vault.client, name).with_options(metadata={"token": SECRET}).future(SECRET)
        vault.step()
        vault.client.open.future(SECRET)
        vault.advance(3.0)

    assert len(logs) >= 5
    assert SECRET not in repr(logs)


@pytest.fixture
def broken_log():
    """An application whose logging fails."""

    def fails(logger, name, event):
        raise RuntimeError("a processor of the application")

    yield lambda: structlog.configure(processors=[fails])
    structlog.reset_defaults()


def test_a_log_that_fails_does_not_keep_a_call_from_its_end(line, broken_log):
    bench = line(Vault)
    calls = [bench.client.open.future("x") for _ in range(2)]
    broken_log()
    with contextlib.suppress(RuntimeError):
        bench.advance(2.0)

    for call in calls:
        assert isinstance(call.exception(0), rpc.DeadlineExceeded)


SILENT = """
    import logging, sys
    from typing import Protocol
    import rpc, structlog
    from rpc.testing import in_memory

    class Vault(Protocol):
        @rpc.method
        def open(self, password: str) -> str: ...

    class VaultImpl(Vault):
        def open(self, password: str) -> str:
            raise KeyError(password)

    with in_memory(Vault, VaultImpl(), interceptors=[rpc.log_calls]) as client:
        error = client.open.future("hunter2").exception()

    right = [
        type(error) is rpc.InternalError,
        not structlog.is_configured(),
        logging.getLogger().handlers == [],
        logging.getLogger().level == logging.WARNING,
    ]
    sys.exit(0 if all(right) else f"{right}")
"""

CONFIGURED = """
    import logging
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
"""


def test_nothing_is_configured_or_printed_unless_the_application_does(run_script):
    silent = run_script(SILENT)

    assert (silent.returncode, silent.stdout, silent.stderr) == (0, "", "")


def test_the_standard_logging_gets_the_lines_once_it_is_configured(run_script):
    spoken = run_script(CONFIGURED + SILENT.replace("logging.getLogger().handlers == []", "True"))

    assert "INFO rpc.server event=server.started" in spoken.stderr
    assert "ERROR rpc.server event=handler.failed" in spoken.stderr
    assert "WARNING rpc.calls event=call.failed" in spoken.stderr
