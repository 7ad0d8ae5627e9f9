"""Code around every call, of one shape on both sides and in both colours.

An interceptor is a generator: what stands before its `yield` runs before the call, what stands
after it runs when the outcome is there - the result is the value of the `yield`, a failure is
raised from it. It blocks on nothing, so the same one serves threads, futures and event loops; the
form is that of `httpx.Auth.auth_flow`.

    def timed(call: CallInfo) -> Interception:
        started = time.monotonic()
        try:
            return (yield call)
        finally:
            print(call.method, time.monotonic() - started)
"""

import contextlib
import contextvars
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Literal

import msgspec

__all__ = ["CallInfo", "Chain", "Interception", "Interceptor", "Outcome"]


class CallInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A call as interceptors see it. `msgspec.structs.replace` gives one with other metadata."""

    side: Literal["client", "server"]
    service: str
    method: str
    arguments: msgspec.Struct
    """The arguments by name, in the struct derived from the contract."""
    metadata: Mapping[str, str | bytes]
    """On the client: what is sent; an interceptor may yield a `CallInfo` with more."""
    timeout: float
    """Seconds left."""
    call_id: str = ""
    """The call's id in hexadecimal: the same on both sides and for every attempt."""
    attempt: int = 1
    """On the server: how often the caller has tried, this time included."""


Interception = Generator[CallInfo, object, object]
"""Yields the call once, gets the result, returns the result that the caller shall see."""

Interceptor = Callable[[CallInfo], Interception]


class Outcome:
    """How a call ended: a value, or an error."""

    __slots__ = ("error", "value")

    def __init__(self, value: object = None, error: BaseException | None = None) -> None:
        self.value = value
        self.error = error

    def unwrap(self) -> object:
        """Return the value or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


class Chain:
    """The interceptors of one call: `enter` once, then `leave` once if it said to proceed.

    Each step runs in the context of the call's start, so that a context variable set before the
    `yield` is there after it, whichever thread brings the outcome.
    """

    def __init__(
        self, interceptors: Sequence[Interceptor], context: contextvars.Context | None = None
    ) -> None:
        self._interceptors = interceptors
        self._run = _here if context is None else context.run
        self._entered: list[Interception] = []

    def enter(self, call: CallInfo) -> CallInfo | Outcome:
        """Run what stands before each `yield`, outermost first.

        Return the call to make, or the outcome where an interceptor ended it by itself.
        """
        for interceptor in self._interceptors:
            try:
                step = interceptor(call)
                yielded: object = self._run(next, step)
            except StopIteration as stop:
                return self.leave(Outcome(stop.value))
            except BaseException as error:  # a server would answer nothing and lose its worker
                return self.leave(Outcome(error=error))
            self._entered.append(step)
            if not isinstance(yielded, CallInfo):
                return self.leave(Outcome(error=_no_call(step, yielded)))
            call = yielded
        return call

    def leave(self, outcome: Outcome) -> Outcome:
        """Run what stands after each `yield`, innermost first; return what the caller gets."""
        while self._entered:
            outcome = self._leave_one(self._entered.pop(), outcome)
        return outcome

    def close(self) -> None:
        """End without an outcome: the work is another's, and so is its reply."""
        while self._entered:
            with contextlib.suppress(BaseException):  # it may yield even when it is told to end
                self._entered.pop().close()

    def _leave_one(self, step: Interception, outcome: Outcome) -> Outcome:
        passing = outcome.error
        trace = None if passing is None else passing.__traceback__
        try:
            if passing is None:
                self._run(step.send, outcome.value)
            else:
                self._run(step.throw, passing)
        except StopIteration as stop:
            return Outcome(stop.value)
        except BaseException as error:  # also what a handler raised and the interceptor let pass
            if error is passing:  # its way through here, which refers to it, is nobody's concern
                error.__traceback__ = trace
            return Outcome(error=error)
        with contextlib.suppress(BaseException):  # it may yield even when it is told to end
            step.close()
        return Outcome(error=RuntimeError(f"interceptor {step!r} yields more than once"))


def _no_call(step: Interception, yielded: object) -> TypeError:
    got = type(yielded).__name__
    return TypeError(f"interceptor {step!r} yields {got}, not the CallInfo to proceed with")


def _here(step: Callable[..., CallInfo], *args: object) -> CallInfo:
    return step(*args)
