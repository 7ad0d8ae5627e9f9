"""Serves a hundred shops, some of them closed and some very slow.

python -m examples.fanout.server
"""

import asyncio
import logging

from examples.fanout.contract import Quote, ShopClosed, ShopService
from rpc import method, serve

__all__ = ["Shops", "main"]

_SLOW = 60.0  # seconds; the caller's deadline ends such a handler long before


class Shops(ShopService):
    """Every tenth shop is closed, and every tenth does not answer in time."""

    @method
    async def quote(self, shop: int, article: str) -> Quote:
        """Return what `shop` asks for `article`."""
        if shop % 10 == 0:
            raise ShopClosed(shop=shop, message=f"shop {shop} is closed")
        if shop % 10 == 7:
            await asyncio.sleep(_SLOW)
        return Quote(shop, 1000 + shop * 37 % 500 + len(article))


def main() -> None:
    """Serve; what the library logs goes through the standard logging here."""
    logging.basicConfig(level=logging.INFO)
    serve(Shops())


if __name__ == "__main__":
    main()
