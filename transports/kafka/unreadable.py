"""How often a batch that can't be read is tried. Pure."""

__all__ = ["Strikes"]

_MOST = 3


class Strikes:
    """Counts failures at one place after the other."""

    def __init__(self) -> None:
        self._counts: dict[int, tuple[int, int]] = {}

    def out(self, partition: int, offset: int) -> bool:
        """Count a failure; True when it is the third in a row at this place."""
        at, count = self._counts.get(partition, (offset, 0))
        count = count + 1 if at == offset else 1
        self._counts[partition] = (offset, count)
        if count < _MOST:
            return False
        del self._counts[partition]
        return True
