"""The acknowledgement of a request, as a future of its own: what `Call.sent` is."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from contracts import RpcError
from rpc.call_errors import to_raise
from transports.base import Receipt

if TYPE_CHECKING:
    from rpc.call import Call

__all__ = ["Sent"]


class Sent:
    """The acknowledgement of a request: resolves to its `Receipt`, or fails as the send did."""

    __slots__ = ("_call",)

    def __init__(self, call: "Call[Any]") -> None:
        self._call = call

    def done(self) -> bool:
        """Tell whether the broker answered, or the call ended without it."""
        return self._call.receipt is not None or self._call.watch_sent().done()

    def result(self, timeout: float | None = None) -> Receipt:
        """Return topic, partition and offset; raises the call's error if it was never sent.

        Raises `TimeoutError` after `timeout` seconds.
        """
        completion = self._call.watch_sent()
        if not completion.wait(timeout):
            raise TimeoutError(f"{self._call.route.full_name}: not acknowledged in {timeout:g} s")
        return _receipt(completion.get())

    def __await__(self) -> Generator[Any, None, Receipt]:
        return _receipt((yield from self._call.watch_sent().__await__()))


def _receipt(value: Receipt | RpcError) -> Receipt:
    if isinstance(value, RpcError):
        raise to_raise(value)
    return value
