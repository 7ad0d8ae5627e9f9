"""The service that is measured."""

from typing import Protocol

from rpc import method


class Echo(Protocol):
    """Answers what it is asked."""

    @method(timeout=30.0, idempotent=True)
    def echo(self, text: str) -> str:
        """Return `text`."""
        ...


class EchoImpl(Echo):
    """The handler: as short as can be, so that what is measured is everything else."""

    @method
    def echo(self, text: str) -> str:
        return text


class EchoLater(Echo):
    """The same on the server's event loop."""

    @method
    async def echo(self, text: str) -> str:
        return text
