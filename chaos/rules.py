"""What a proxy does to the connections that pass it, as a value."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["DOWN", "QUIET", "UP", "Direction", "Rules"]

Direction = Literal["up", "down"]
UP: Direction = "up"
"""From clients to the broker: requests."""
DOWN: Direction = "down"
"""From the broker to clients: responses."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What happens to connections; the default is nothing."""

    delay: float = 0.0
    """Seconds that each direction takes longer."""
    jitter: float = 0.0
    """Up to so many seconds more or less; order is kept."""
    rate: float | None = None
    """Bytes a second of each direction of a connection."""
    blackhole: frozenset[Direction] = frozenset()
    """Directions in which nothing gets through until it heals; then what was sent comes."""
    half_open: bool = False
    """New connections are accepted and never answered; reset when it heals."""
    refuse: bool = False
    """New connections are reset at once."""
    slice: int = 0
    """Deliver 1 to so many bytes at a time; 0: as they come."""
    corrupt: float = 0.0
    """The share of what the broker sends that gets a flipped bit (of frames: in a record batch)."""
    hold: frozenset[tuple[Direction, int]] = frozenset()
    """Requests (up) or responses (down) of these API keys wait until the rules change."""
    drop: frozenset[tuple[Direction, int]] = frozenset()
    """Requests or responses of these API keys are swallowed, and the connection is reset."""
    drop_share: float = 1.0
    """The share of those that `drop` names."""


QUIET = Rules()
