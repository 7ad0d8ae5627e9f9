"""The messages of one record that is a frame: which were handed out, which are settled. Pure."""

__all__ = ["Parts"]


class Parts:
    """The parts of one record, a bit for each."""

    __slots__ = ("every", "handed", "left", "share")

    def __init__(self, parts: int, settled: int, share: int) -> None:
        self.every = (1 << parts) - 1
        self.left = self.every & ~settled
        """Those that are not settled."""
        self.handed = 0
        """Those that were taken."""
        self.share = share
        """Bytes of each."""

    @property
    def in_flight(self) -> int:
        """How many are."""
        return (self.left & self.handed).bit_count()
