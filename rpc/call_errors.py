"""The errors of calls that a channel ends itself, in words."""

from copy import copy
from typing import TYPE_CHECKING, Any

from contracts import (
    Cancelled,
    Certainty,
    DeadlineExceeded,
    EncodeError,
    InternalError,
    Overloaded,
    RpcError,
    Unavailable,
)

if TYPE_CHECKING:
    from rpc.call import Call

__all__ = [
    "cancelled_error",
    "closed_error",
    "expired_error",
    "no_room_error",
    "nobody_error",
    "not_sent_error",
    "to_raise",
    "unsent_error",
    "unwritable_error",
]


def to_raise(error: BaseException) -> BaseException:
    """Return what is to be raised where a call has ended with `error`: a copy, if it is ours.

    What is raised refers to all frames that it passes, and they to the call. If the call referred
    to it too, both would be left to the garbage collector, which holds all threads up for longer
    the more calls fail: in an outage for seconds.
    """
    if not isinstance(error, RpcError):
        return error
    raised = copy(error)
    if error.__cause__ is not None:
        raised.__cause__ = error.__cause__
    return raised


def closed_error(method: str) -> Unavailable:
    """Return the error of a call on a channel that is closed, or was opened before a fork."""
    return Unavailable(
        message=f"{method}: the channel is closed, or was opened before a fork; make another",
        certainty=Certainty.NOT_EXECUTED,
    )


def nobody_error(method: str, service: str, topic: str, certainty: Certainty) -> Unavailable:
    """Return the error of a call to a service whose group has had no member for a second."""
    return Unavailable(
        message=(
            f"{method}: nobody serves {service}: its group {topic} has no member; start a server, "
            "or wait for one until the deadline with wait_for_ready=True"
        ),
        certainty=certainty,
    )


def no_room_error(method: str, why: str, waited: float) -> Overloaded:
    """Return the error of a call that found no room in its channel, after `waited` seconds."""
    after = f" after {waited:g} s of waiting" if waited else ""
    return Overloaded(
        message=f"{method}: not sent{after}: {why}; wait for some, or raise the bound",
        certainty=Certainty.NOT_EXECUTED,
    )


def not_sent_error(method: str, timeout: float, why: str) -> DeadlineExceeded:
    """Return the error of a call that could not be sent within its `timeout` seconds."""
    return DeadlineExceeded(
        message=f"{method}: not sent within {timeout:g} s: {why}",
        certainty=Certainty.NOT_EXECUTED,
    )


def unwritable_error(method: str, error: EncodeError) -> InternalError:
    """Return the error of a call whose arguments have no form on the wire."""
    return InternalError(
        message=f"{method}: the arguments can't be encoded: {error}",
        certainty=Certainty.NOT_EXECUTED,
    )


def expired_error(call: "Call[Any]", seen: str = "") -> DeadlineExceeded:
    """Return the error of a call whose deadline has passed: how far it came, and where.

    `seen` is what is known of the group that should have read it.
    """
    receipt = call.receipt
    if receipt is not None:
        place = f"{receipt.topic}[{receipt.partition}]@{receipt.offset}"
        where = f"the request is acknowledged at {place}{seen}"
    elif not call.attempt:
        peer = call.route.peer
        where = f"not sent, for nobody serves {peer.service}: its group {peer.topic} has no member"
    elif call.last_error is not None:
        where = f"attempt {call.attempt} failed before: {call.last_error}"
    else:
        where = "the broker has not acknowledged the request"
    return DeadlineExceeded(
        message=f"{call.route.full_name}: no reply within {call.timeout:g} s; {where}",
        certainty=call.certainty,
    )


def cancelled_error(call: "Call[Any]") -> Cancelled:
    """Return the error of a call that its caller gave up."""
    return Cancelled(
        message=f"{call.route.full_name}: cancelled by the caller",
        certainty=call.certainty,
    )


def unsent_error(why: object) -> Cancelled:
    """Return the error of a request that is not sent, as whoever waits for its receipt gets it."""
    return Cancelled(message=f"not sent: {why}", certainty=Certainty.NOT_EXECUTED)
