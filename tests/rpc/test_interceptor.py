"""The chain of interceptors: order, short cuts, and interceptors that misbehave."""

import contextvars

import msgspec
import pytest

from rpc.interceptor import CallInfo, Chain, Outcome


class Nothing(msgspec.Struct, frozen=True):
    pass


INFO = CallInfo(
    side="client", service="S", method="m", arguments=Nothing(), metadata={}, timeout=1.0
)


def traced(log, name):
    def interceptor(call):
        log.append(f"{name} in")
        try:
            result = yield call
        except Exception as error:
            log.append(f"{name} failed {error}")
            raise
        log.append(f"{name} out {result}")
        return result

    return interceptor


def run(*interceptors, outcome=None, context=None):
    """Enter the chain and, where it said to proceed, leave it with `outcome`."""
    chain = Chain(interceptors, context)
    entered = chain.enter(INFO)
    return entered if isinstance(entered, Outcome) else chain.leave(outcome or Outcome("result"))


def test_the_first_interceptor_is_outermost():
    log = []
    outcome = run(traced(log, "a"), traced(log, "b"))

    assert outcome.unwrap() == "result"
    assert log == ["a in", "b in", "b out result", "a out result"]


def test_without_interceptors_nothing_changes():
    assert run().unwrap() == "result"


def test_a_failure_is_raised_from_every_yield():
    log = []
    outcome = run(traced(log, "a"), traced(log, "b"), outcome=Outcome(error=KeyError("gone")))

    assert isinstance(outcome.error, KeyError)
    assert log == ["a in", "b in", "b failed 'gone'", "a failed 'gone'"]


def test_an_interceptor_may_change_the_call_for_those_within():
    seen = []

    def adds(call):
        return (yield msgspec.structs.replace(call, metadata={**call.metadata, "tenant": "a"}))

    def sees(call):
        seen.append(call.metadata)
        return (yield call)

    entered = Chain([adds, sees]).enter(INFO)

    assert seen == [{"tenant": "a"}]
    assert entered.metadata == {"tenant": "a"}


def test_an_interceptor_may_end_the_call_by_itself():
    log = []

    def cached(call):
        return "cached"
        yield call

    outcome = run(traced(log, "a"), cached, traced(log, "never"))

    assert outcome.unwrap() == "cached"
    assert log == ["a in", "a out cached"]


def test_an_interceptor_may_change_the_result_and_heal_a_failure():
    def heals(call):
        try:
            return (yield call)
        except KeyError:
            return "healed"

    def shouts(call):
        return (yield call).upper()

    assert run(shouts, heals, outcome=Outcome(error=KeyError("x"))).unwrap() == "HEALED"


@pytest.mark.parametrize("kind", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("where", ["before", "after"])
def test_what_an_interceptor_raises_is_the_outcome_and_is_seen_by_the_outer_ones(kind, where):
    log = []

    def outer(call):
        try:
            return (yield call)
        except BaseException as error:
            log.append(type(error))
            raise

    def raises(call):
        if where == "before":
            raise kind("broken")
        yield call
        raise kind("broken")

    outcome = run(outer, raises)

    assert isinstance(outcome.error, kind)
    assert log == [kind]


def _yields_twice(call):
    yield call
    yield call


def _yields_when_told_to_end(call):
    yield call
    try:
        yield call
    except GeneratorExit:
        yield call


def _yields_after_a_failure(call):
    try:
        yield call
    except KeyError:
        yield call


@pytest.mark.parametrize(
    ("interceptor", "outcome"),
    [
        (_yields_twice, Outcome(1)),
        (_yields_when_told_to_end, Outcome(1)),
        (_yields_after_a_failure, Outcome(error=KeyError("x"))),
    ],
)
def test_an_interceptor_that_yields_more_than_once_is_told(interceptor, outcome):
    log = []
    told = run(traced(log, "outer"), interceptor, outcome=outcome)

    assert isinstance(told.error, RuntimeError)
    assert "yields more than once" in str(told.error)
    assert log[-1].startswith("outer failed")


@pytest.mark.parametrize("yielded", [None, "call", {"metadata": {}}])
def test_an_interceptor_that_yields_something_else_is_told(yielded):
    log = []

    def forgets(call):
        yield yielded

    told = run(traced(log, "outer"), forgets, traced(log, "never"))

    assert isinstance(told.error, TypeError)
    assert "CallInfo" in str(told.error)
    assert log[-1].startswith("outer failed")
    assert "never in" not in log


def test_what_is_no_generator_is_told():
    told = run(lambda call: None)

    assert isinstance(told.error, TypeError)


def test_a_context_variable_set_before_the_yield_is_there_after_it():
    variable = contextvars.ContextVar("variable", default="outside")
    seen = []

    def remembers(call):
        token = variable.set("inside")
        result = yield call
        seen.append(variable.get())
        variable.reset(token)
        return result

    run(remembers, context=contextvars.copy_context())

    assert seen == ["inside"]
    assert variable.get() == "outside"


def test_an_interceptor_is_left_once():
    log = []
    chain = Chain([traced(log, "a")])
    chain.enter(INFO)
    chain.leave(Outcome("first"))

    assert chain.leave(Outcome("second")).unwrap() == "second"
    assert log == ["a in", "a out first"]
