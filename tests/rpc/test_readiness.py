"""Work that must have succeeded once: shared while it runs, tried again after a failure."""

import os
import threading

import pytest

from contracts import Certainty, Code, RpcError, Unavailable
from rpc.readiness import Readiness
from transports.errors import TransportError


def here(work):
    work()


def test_the_work_is_done_once():
    done = []
    readiness = Readiness(lambda: done.append(1), here)

    assert readiness.begin().get() is None
    assert readiness.begin().get() is None
    assert readiness.ready
    assert done == [1]


def test_a_failure_is_told_and_the_next_one_tries_again():
    outcomes = [Unavailable(message="not yet"), None]

    def work():
        error = outcomes.pop(0)
        if error is not None:
            raise error

    readiness = Readiness(work, here)
    first = readiness.begin().get()

    assert isinstance(first, Unavailable)
    assert not readiness.ready
    assert readiness.begin().get() is None
    assert readiness.ready


def test_those_who_come_while_it_runs_wait_for_the_same_attempt(run_together, patience):
    started, go, runs = threading.Event(), threading.Event(), []

    def work():
        runs.append(1)
        started.set()
        assert go.wait(patience)
        raise Unavailable(message="refused")

    readiness = Readiness(work, lambda work: threading.Thread(target=work).start())
    attempts = run_together(*[readiness.begin] * 20)
    assert started.wait(patience)
    go.set()

    assert len({id(attempt) for attempt in attempts}) == 1
    assert attempts[0].wait(patience)
    assert str(attempts[0].get()) == str(Unavailable(message="refused"))
    assert runs == [1]


@pytest.mark.parametrize("fault", [RuntimeError("a fault of the driver"), OSError("no route")])
def test_what_a_transport_should_not_raise_is_told_as_well_and_not_waited_for(fault):
    outcomes = [fault, None]

    def work():
        error = outcomes.pop(0)
        if error is not None:
            raise error

    readiness = Readiness(work, here)
    told = readiness.begin()

    assert told.done()
    assert isinstance(told.get(), RpcError)
    assert told.get().code is Code.INTERNAL
    assert told.get().certainty is Certainty.NOT_EXECUTED
    assert type(fault).__name__ in told.get().message
    assert told.get().__cause__ is fault
    assert readiness.begin().get() is None


def test_work_that_can_not_be_begun_is_told_and_the_next_one_tries_again():
    runs = [here]

    def run(work):
        if runs:
            runs.clear()
            raise TransportError("no thread")
        work()

    readiness = Readiness(bool, run)
    told = readiness.begin()

    assert told.done()
    assert told.get().code is Code.UNAVAILABLE
    assert readiness.begin().get() is None


def test_giving_up_ends_the_wait_and_what_comes_of_the_work_is_told_to_nobody(patience):
    go, done = threading.Event(), threading.Event()

    def work():
        assert go.wait(patience)
        done.set()

    readiness = Readiness(work, lambda work: threading.Thread(target=work).start())
    attempt = readiness.begin()
    readiness.give_up(Unavailable(message="closed"))

    assert str(attempt.get()) == str(Unavailable(message="closed"))
    go.set()
    assert done.wait(patience)
    assert str(attempt.get()) == str(Unavailable(message="closed"))


def test_giving_up_what_is_ready_or_was_never_begun_changes_nothing():
    readiness = Readiness(lambda: None, here)
    readiness.give_up(Unavailable(message="closed"))
    attempt = readiness.begin()
    readiness.give_up(Unavailable(message="closed"))

    assert attempt.get() is None
    assert readiness.ready


def test_a_child_forked_while_it_runs_begins_an_attempt_of_its_own():
    left_alone = []
    readiness = Readiness(lambda: None, left_alone.append)
    parents = readiness.begin()
    with readiness._lock:  # as another thread of the parent may hold it just then
        child = os.fork()
        if child == 0:
            own = readiness.begin()
            os._exit(0 if own is not parents and len(left_alone) == 2 else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert readiness.begin() is parents
