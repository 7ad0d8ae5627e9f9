"""Shops that can be asked for a price."""

from typing import Protocol

import msgspec

from rpc import Code, RpcError, method

__all__ = ["Quote", "ShopClosed", "ShopService"]


class Quote(msgspec.Struct, frozen=True):
    """What one shop asks for."""

    shop: int
    cents: int


class ShopClosed(RpcError, code=Code.FAILED_PRECONDITION):
    """This shop sells nothing today."""

    shop: int


class ShopService(Protocol):
    """Prices of many shops."""

    @method(idempotent=True, raises=[ShopClosed])
    async def quote(self, shop: int, article: str) -> Quote:
        """Return what `shop` asks for `article`."""
        ...
