"""A call that is under way, as callers see it."""

from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeVar

__all__ = ["Call", "Sent"]

R_co = TypeVar("R_co", covariant=True)


class Sent(Protocol):
    """The sending half of a call: resolves when the transport has the request, or has not."""

    def result(self, timeout: float | None = None) -> object:
        """Return where the request stands, waiting at most `timeout` seconds.

        Raises what the transport raised if it could not be sent, `TimeoutError` if the wait ended.
        """
        ...

    def done(self) -> bool:
        """Tell whether it is known what became of the request."""
        ...

    def __await__(self) -> Generator[Any, None, object]:
        """Wait as `result` does, without blocking the event loop."""
        ...


class Call(Protocol[R_co]):
    """One call: ends once, with a result or an error, by its deadline. Any thread; awaitable."""

    @property
    def sent(self) -> Sent:
        """What became of the request, before and apart from the reply."""
        ...

    def result(self, timeout: float | None = None) -> R_co:
        """Return the result, or raise the call's error, waiting at most `timeout` seconds.

        Without `timeout` it waits until the call ends, which its deadline sees to. Raises
        `TimeoutError` if the wait, not the call, ended: the call goes on.
        """
        ...

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the call's error, or None for a result; waits and raises as `result` does."""
        ...

    def done(self) -> bool:
        """Tell whether the call has ended."""
        ...

    def cancel(self) -> bool:
        """End the call as cancelled, tell the server so, and return False if it had ended."""
        ...

    def add_done_callback(self, callback: Callable[["Call[R_co]"], object], /) -> None:
        """Run `callback` with this call when it has ended: at once if it has."""
        ...

    def __await__(self) -> Generator[Any, None, R_co]:
        """Wait as `result` does, without blocking the event loop."""
        ...
