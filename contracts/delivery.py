"""How often a handler runs for one call, at worst and at best."""

import enum

__all__ = ["DeliveryMode"]


class DeliveryMode(enum.StrEnum):
    """What a method promises of its calls when processes die and records come twice.

    `@method(delivery="at_most_once")`; the texts are the values.
    """

    AT_LEAST_ONCE = "at_least_once"
    """The handler runs once or more often; nothing acknowledged is lost. The default."""
    AT_MOST_ONCE = "at_most_once"
    """The handler runs once or not at all: the request is settled before it starts."""
    EFFECTIVELY_ONCE = "effectively_once"
    """A call that comes again gets the reply of its first run, as far as the server's store of
    replies remembers. Such a call may be retried."""
