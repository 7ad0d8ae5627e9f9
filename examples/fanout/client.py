"""Asks a hundred shops at once and takes what comes within two seconds.

python -m examples.fanout.client
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from examples.fanout.contract import Quote, ShopService
from rpc import Channel, RpcError, Stub

__all__ = ["Survey", "ask_all", "main"]


class Survey(NamedTuple):
    """What a hundred calls brought: a quote or an error from each."""

    quotes: list[Quote]
    errors: list[RpcError]

    def __str__(self) -> str:
        """Return the best quote and how the others ended, in two lines."""
        best = min(self.quotes, key=lambda quote: quote.cents, default=None)
        failed = Counter(error.code.value for error in self.errors)
        counted = "".join(f", {count} {code}" for code, count in sorted(failed.items()))
        return f"best: {best}\n{len(self.quotes)} quotes{counted}"


async def ask_all(
    service: ShopService, shops: Iterable[int], article: str, *, within: float
) -> Survey:
    """Ask every shop at once; all calls have ended `within` seconds from now.

    The calls start together, so one timeout for each is a deadline for all of them. An error of one
    ends none of the others. Cancelling this cancels the calls, here and on the servers.
    """
    quote = service.quote.with_options(timeout=within)
    outcomes = await asyncio.gather(
        *(quote.aio(shop, article) for shop in shops), return_exceptions=True
    )
    quotes: list[Quote] = []
    errors: list[RpcError] = []
    for outcome in outcomes:
        if isinstance(outcome, Quote):
            quotes.append(outcome)
        elif isinstance(outcome, RpcError):
            errors.append(outcome)
        else:
            raise outcome
    return Survey(quotes, errors)


async def main() -> None:
    """Ask, and print what came."""
    with Channel() as channel:
        # Connecting takes a moment: done here, so that the time below is for the shops.
        await asyncio.to_thread(channel.open)
        shops = Stub(ShopService, channel=channel)
        print(await ask_all(shops, range(1, 101), "lamp", within=2.0))


if __name__ == "__main__":
    asyncio.run(main())
