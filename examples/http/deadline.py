"""How long an HTTP request may take: what its sender asks for, up to a bound."""

from collections.abc import Mapping

from rpc import Certainty, InvalidArgument

__all__ = ["HEADER", "MAXIMUM", "requested_timeout"]

HEADER = "x-request-timeout"
"""Seconds, as in `x-request-timeout: 0.5`."""
MAXIMUM = 5.0
"""Seconds; for requests without the header, and for those that ask for more."""


def requested_timeout(headers: Mapping[str, str]) -> float:
    """Return the seconds for a request. Raises `InvalidArgument` for what is no time above 0."""
    text = headers.get(HEADER)
    if text is None:
        return MAXIMUM
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:  # so that NaN is refused too
        message = f"{HEADER} must be a number of seconds above 0"
        raise InvalidArgument(message=message, certainty=Certainty.NOT_EXECUTED)
    return min(seconds, MAXIMUM)
