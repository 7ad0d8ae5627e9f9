"""How a call that failed is classified: by a code, and by whether it was executed."""

import enum

__all__ = ["Certainty", "Code"]


class Code(enum.StrEnum):
    """The sixteen error codes of gRPC, by name. Success is no error, so OK is no member.

    The members stand in the order of gRPC's numbers; the descriptions follow its status codes page.
    """

    CANCELLED = "CANCELLED"
    """The caller gave the call up."""
    UNKNOWN = "UNKNOWN"
    """An error that nothing is known of, such as one with a code that this version lacks."""
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    """The arguments are wrong whatever state the system is in. Mend them; do not retry."""
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    """The time ran out before the call ended, which it may do yet."""
    NOT_FOUND = "NOT_FOUND"
    """What was asked for does not exist."""
    ALREADY_EXISTS = "ALREADY_EXISTS"
    """What was to be created exists."""
    PERMISSION_DENIED = "PERMISSION_DENIED"
    """The caller is known and may not do this."""
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    """A quota or a limit is used up; the same call may pass later."""
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    """The system is not in a state for this. Retry only after that state was changed."""
    ABORTED = "ABORTED"
    """A conflict with something concurrent. Retry at a higher level: read, modify, write again."""
    OUT_OF_RANGE = "OUT_OF_RANGE"
    """Past the valid range as it is now, as when reading beyond an end that may yet move."""
    UNIMPLEMENTED = "UNIMPLEMENTED"
    """No such service or method here."""
    INTERNAL = "INTERNAL"
    """Something is broken that should not be."""
    UNAVAILABLE = "UNAVAILABLE"
    """Cannot be served at the moment. Retry just this call, after a pause."""
    DATA_LOSS = "DATA_LOSS"
    """Data is lost or corrupt, for good."""
    UNAUTHENTICATED = "UNAUTHENTICATED"
    """Who is calling is not known, or not proved."""

    @property
    def number(self) -> int:
        """Return gRPC's integer for this code, from 1 to 16."""
        return tuple(Code).index(self) + 1


class Certainty(enum.StrEnum):
    """Whether the handler ran. Never guessed: it is what the protocol proves."""

    NOT_EXECUTED = "NOT_EXECUTED"
    """The handler certainly did not run, and will not: repeating the call is safe."""
    EXECUTED = "EXECUTED"
    """The handler ran, to its end or to the error."""
    UNKNOWN = "UNKNOWN"
    """The handler may have run, may be running, or may run later."""
