"""Calling a handler on its own implementation, where no wire lies between.

`impl.get(42)` has the type of a stub's method, and keeps its word: the three ways of calling run
the handler itself, `async def` or not, in the caller's thread.
"""

import asyncio
from collections.abc import Callable, Generator
from inspect import iscoroutinefunction
from typing import Any, Self

__all__ = ["FinishedCall", "LocalMethod"]


class LocalMethod:
    """A handler bound to its implementation. Errors are what the handler raises, unchanged."""

    def __init__(self, function: Callable[..., Any], owner: object, attribute: str) -> None:
        self._handler = function.__get__(owner)
        self._is_async = iscoroutinefunction(function)
        self._owner = type(owner).__name__
        self._attribute = attribute
        self.__doc__ = function.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the handler and return its result.

        An `async def` handler gets an event loop of its own; raises `RuntimeError` where one runs.
        """
        if not self._is_async:
            return self._handler(*args, **kwargs)
        if _loop_runs():
            msg = (
                f"{self._owner}.{self._attribute} is `async def`, and an event loop runs in this"
                f" thread: write `await impl.{self._attribute}.aio(...)`"
            )
            raise RuntimeError(msg)
        return asyncio.run(self._handler(*args, **kwargs))

    async def aio(self, *args: Any, **kwargs: Any) -> Any:
        """Run the handler and return its result; a plain `def` one blocks the event loop."""
        outcome = self._handler(*args, **kwargs)
        return await outcome if self._is_async else outcome

    def future(self, *args: Any, **kwargs: Any) -> "FinishedCall":
        """Run the handler as a call does, and return it finished."""
        try:
            return FinishedCall(self(*args, **kwargs), None)
        except Exception as error:
            return FinishedCall(None, error)

    def with_options(self, **_options: object) -> Self:
        """Return itself: there is no deadline, no route and no metadata on a local call."""
        return self


class FinishedCall:
    """A call that has ended; see `contracts.call.Call`. Its `sent` resolves to None."""

    def __init__(self, result: Any, error: Exception | None) -> None:
        self._result = result
        self._error = error

    @property
    def sent(self) -> "FinishedCall":
        """Nothing was sent, and nothing is awaited."""
        return FinishedCall(None, None)

    def result(self, timeout: float | None = None) -> Any:  # noqa: ARG002 - nothing to wait for
        """Return the result or raise the error, at once."""
        if self._error is not None:
            raise self._error
        return self._result

    def exception(self, timeout: float | None = None) -> Exception | None:  # noqa: ARG002 - likewise
        """Return the error or None, at once."""
        return self._error

    def done(self) -> bool:
        """Return True."""
        return True

    def cancel(self) -> bool:
        """Return False: it has ended."""
        return False

    def add_done_callback(self, callback: Callable[["FinishedCall"], object], /) -> None:
        """Run `callback` at once."""
        callback(self)

    def __await__(self) -> Generator[Any, None, Any]:
        """Return the result or raise the error, at once."""
        return self._outcome().__await__()

    async def _outcome(self) -> Any:
        return self.result()


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
