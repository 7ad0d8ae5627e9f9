"""The HTTP API over real HTTP: uvicorn in a process, a service behind it, httpx in front."""

import json
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from examples.http.deadline import MAXIMUM, requested_timeout
from examples.http.problem import STATUS, problem
from rpc import Certainty, Code, InternalError, InvalidArgument, RpcError


@pytest.fixture
def serve_http(start: Callable[..., Any]) -> Callable[[str], httpx.Client]:
    """Start the app with that `RPC_TRANSPORT`; return a client of it."""

    def serve(url: str) -> httpx.Client:
        app = start("-m", "uvicorn", "examples.http.app:app", "--port", "0", url=url)
        line = app.wait_for("Uvicorn running on")
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert address is not None
        return httpx.Client(base_url=address[0], timeout=30.0)

    return serve


def test_users_are_served_over_http(
    start: Callable[..., Any], serve_http: Callable[[str], httpx.Client], kafka_url: str
) -> None:
    start("-m", "examples.quickstart.server", url=kafka_url).wait_for("server.started")
    with serve_http(kafka_url) as http:
        found = http.get("/users/42")
        missing = http.get("/users/7")
        no_number = http.get("/users/ada")
        no_time = http.get("/users/42", headers={"x-request-timeout": "soon"})

    assert (found.status_code, found.json()) == (200, {"id": 42, "name": "Douglas"})
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"
    assert missing.json() == {
        "status": 404,
        "title": "Not found",
        "code": "NOT_FOUND",
        "certainty": "EXECUTED",
        "detail": "there is no user 7",
    }
    for refused in (no_number, no_time):
        assert refused.status_code == 400
        assert refused.json()["code"] == "INVALID_ARGUMENT"
        assert refused.json()["certainty"] == "NOT_EXECUTED"


def test_a_service_that_nobody_serves_is_504_at_the_deadline_of_the_header(
    serve_http: Callable[[str], httpx.Client], kafka_url: str
) -> None:
    with serve_http(kafka_url) as http:
        http.get("/users/42")  # connects
        started = time.monotonic()
        answer = http.get("/users/42", headers={"x-request-timeout": "0.3"})
        elapsed = time.monotonic() - started

    assert answer.status_code == 504
    assert answer.json()["code"] == "DEADLINE_EXCEEDED"
    assert "detail" not in answer.json()
    assert 0.3 <= elapsed < MAXIMUM


def test_a_broker_that_is_not_there_is_503(serve_http: Callable[[str], httpx.Client]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: whoever connects is refused
        port = taken.getsockname()[1]
        with serve_http(f"kafka://127.0.0.1:{port}?connect_timeout=0.5") as http:
            answer = http.get("/users/42")

    assert answer.status_code == 503
    assert answer.json() == {
        "status": 503,
        "title": "Unavailable",
        "code": "UNAVAILABLE",
        "certainty": "NOT_EXECUTED",
    }


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.CANCELLED, 499),
        (Code.UNKNOWN, 500),
        (Code.INVALID_ARGUMENT, 400),
        (Code.DEADLINE_EXCEEDED, 504),
        (Code.NOT_FOUND, 404),
        (Code.ALREADY_EXISTS, 409),
        (Code.PERMISSION_DENIED, 403),
        (Code.RESOURCE_EXHAUSTED, 429),
        (Code.FAILED_PRECONDITION, 400),
        (Code.ABORTED, 409),
        (Code.OUT_OF_RANGE, 400),
        (Code.UNIMPLEMENTED, 501),
        (Code.INTERNAL, 500),
        (Code.UNAVAILABLE, 503),
        (Code.DATA_LOSS, 500),
        (Code.UNAUTHENTICATED, 401),
    ],
)
def test_every_code_has_its_status(code: Code, status: int) -> None:
    answer = problem(RpcError(code=code, message="why"))
    body = json.loads(bytes(answer.body))

    assert answer.status_code == body["status"] == status
    assert body["code"] == code.value
    assert body.get("detail") == ("why" if status < 500 else None)


def test_the_table_leaves_no_code_out() -> None:
    assert set(STATUS) == set(Code)


def test_an_unexpected_error_tells_its_id_and_not_its_message() -> None:
    answer = problem(
        InternalError(message="of our insides", error_id="5f", certainty=Certainty.EXECUTED)
    )
    body = json.loads(bytes(answer.body))

    assert body["error_id"] == "5f"
    assert "insides" not in bytes(answer.body).decode()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, MAXIMUM),
        ({"x-request-timeout": "0.25"}, 0.25),
        ({"x-request-timeout": "5"}, 5.0),
        ({"x-request-timeout": "3600"}, MAXIMUM),
        ({"x-request-timeout": "inf"}, MAXIMUM),
    ],
)
def test_a_request_takes_what_it_asks_for_up_to_the_bound(
    headers: dict[str, str], seconds: float
) -> None:
    assert requested_timeout(headers) == seconds


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan"])
def test_what_is_no_time_is_an_invalid_argument(text: str) -> None:
    with pytest.raises(InvalidArgument, match="x-request-timeout"):
        requested_timeout({"x-request-timeout": text})
