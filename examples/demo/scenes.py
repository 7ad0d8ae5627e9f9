"""What the demo shows, scene by scene. Each raises `Unexpected` if it was not as promised."""

import time
from collections import Counter
from collections.abc import Sequence

from examples.demo.contract import User, UserNotFound, Users
from examples.demo.traffic import Traffic
from examples.demo.transcript import Transcript
from examples.demo.worker import Worker
from rpc import Certainty, DeadlineExceeded, InternalError, RetryPolicy

__all__ = [
    "PATIENT",
    "POLICY",
    "Unexpected",
    "crash",
    "deadline",
    "drain",
    "results",
    "spread",
    "start",
    "unexpected_error",
]

PATIENT = RetryPolicy(attempts=10, attempt_timeout=0.5)
"""An idempotent call without a reply is sent once more, elsewhere, after half a second."""
POLICY = f"RetryPolicy(attempts={PATIENT.attempts}, attempt_timeout={PATIENT.attempt_timeout})"
_PARTITIONS = list(range(12))
_HALVES = (_PARTITIONS[:6], _PARTITIONS[6:])


class Unexpected(Exception):
    """Something was not as the demo promises."""


def _expect(truth: bool, what: str) -> None:  # noqa: FBT001 - as assert takes it
    if not truth:
        raise Unexpected(what)


def start(show: Transcript, workers: Sequence[Worker]) -> None:
    """Wait until each server has its half of the partitions."""
    started = time.monotonic()
    for worker in workers:
        worker.event("server.started")
        worker.event("kafka.assigned", where=lambda event: event["partitions"] in _HALVES)
    pids = " and ".join(str(worker.pid) for worker in workers)
    show.code("serve(UserTable())")
    show.say(f"in processes {pids}, sharing the calls {time.monotonic() - started:.1f} s later")


def results(show: Transcript, users: Users) -> None:
    """Show a typed result and a typed error."""
    show.title("A call is typed: its result and its errors")

    def get() -> User:
        return users.get(42)

    def miss() -> User:
        return users.get(7)

    _expect(show.run(get) == User(42, "Douglas"), "a result is the struct of the contract")
    try:
        show.run(miss)
    except UserNotFound as error:
        show.code("error.user_id")
        show.value(error.user_id)
        _expect(error.user_id == 7, "a declared error has its fields")
    else:
        raise Unexpected("a declared error arrives as its own class")


def deadline(show: Transcript, users: Users) -> None:
    """Show a deadline, and what its error knows of the request."""
    show.title("A call ends by its deadline, and says where the request stands")

    def report() -> str:
        return users.report.with_options(timeout=0.5)(2.0)

    started = time.monotonic()
    try:
        show.run(report)
    except DeadlineExceeded as error:
        elapsed = time.monotonic() - started
        _expect("acknowledged at demo.users.requests[" in error.message, "it says where")
        _expect(error.certainty is Certainty.UNKNOWN, "it does not claim to know more")
        show.say(f"after {elapsed:.2f} s; it was acknowledged, so it may run: {error.certainty}")
    else:
        raise Unexpected("a deadline ends the call")


def unexpected_error(show: Transcript, users: Users, workers: Sequence[Worker]) -> None:
    """Show that the caller gets an id, and the server's log the traceback."""
    show.title("An exception that the contract does not declare stays on the server")

    def rename() -> User:
        return users.rename(42, "Zaphod")

    try:
        show.run(rename)
    except InternalError as error:
        _expect("ZeroDivisionError" not in str(error), "the exception's text stays there")
        name, line = _logged(error.error_id, workers)
        show.say(f"server {name} logged that id with the traceback, which ends: {line}")
    else:
        raise Unexpected("an unexpected exception is INTERNAL")


def _logged(error_id: str | None, workers: Sequence[Worker]) -> tuple[str, str]:
    for worker in workers:
        try:
            event = worker.event("handler.failed", timeout=1.0, error_id=error_id)
        except RuntimeError:
            continue
        return worker.name, str(event["exception"]).splitlines()[-1]
    raise Unexpected(f"no server has logged {error_id}")


def spread(show: Transcript, users: Users, workers: Sequence[Worker]) -> None:
    """Show that calls without a key go to all servers."""
    show.title("Servers share the calls")
    show.code("Counter(call.result() for call in [users.served_by.future() for _ in range(2000)])")
    counts = Counter(call.result() for call in [users.served_by.future() for _ in range(2000)])
    show.value(counts)
    shares = [counts[worker.name] for worker in workers]
    _expect(min(shares) > 500, f"each server gets its share: {counts}")


def crash(show: Transcript, users: Users, victim: Worker, survivor: Worker) -> None:
    """Kill a server under a stream of calls."""
    show.title("A server crashes; the calls go on")
    show.say("4 threads, each: while True: users.served_by.with_options(timeout=15.0)()")
    with Traffic(users.served_by.with_options(timeout=15.0)) as traffic:
        before = len(traffic.outcomes(at_least=400))
        killed_at = time.monotonic()
        victim.kill()
        show.say(f"kill -9 {victim.pid}  # server {victim.name}, after {before} calls")
        survivor.event("kafka.assigned", partitions=_PARTITIONS)
        show.say(
            f"{time.monotonic() - killed_at:.1f} s later server {survivor.name} has its partitions"
        )
        traffic.outcomes(at_least=traffic.ended + 200)
    outcomes = traffic.outcomes(at_least=0)
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    slowest = max(outcome.elapsed for outcome in outcomes)
    show.say(f"{len(outcomes)} calls, {len(failed)} failed, the slowest took {slowest:.2f} s")
    _expect(not failed, f"no idempotent call is lost: {failed[:1]}")


def drain(show: Transcript, users: Users, worker: Worker) -> None:
    """Stop a server that has calls to do: it does them first."""
    show.title("SIGTERM drains: what was taken is finished")
    show.code("calls = [users.report.future(1.0) for _ in range(4)]")
    calls = [users.report.future(1.0) for _ in range(4)]
    worker.event("report.started", count=4, seconds=1.0)
    show.say(f"kill -TERM {worker.pid}  # server {worker.name}, with 4 calls running")
    started = time.monotonic()
    code = worker.terminate()
    elapsed = time.monotonic() - started
    show.code("[call.result() for call in calls]")
    answers = [call.result() for call in calls]
    show.value(answers)
    show.say(f"server {worker.name} ended after {elapsed:.2f} s with exit code {code}")
    _expect(answers == [worker.name] * 4, "what was taken is answered")
    _expect(code == 0, "a drained server exits with 0")
