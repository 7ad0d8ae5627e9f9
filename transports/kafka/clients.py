"""What the transport needs of a driver: a producer, a reader of one partition, a group's member.

Two drivers give it: `driver`, on kafka-python, and `librdkafka`, on confluent-kafka. Everything a
driver raises here is a `TransportError` or one of the exceptions below, unless it says otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from transports.base import Address, Message, OnSent
from transports.kafka.commits import Round
from transports.kafka.ledger import Claim, Note, Offer
from transports.kafka.records import Record
from transports.kafka.topic_state import Topics

__all__ = [
    "IN_A_ROW",
    "LostMembership",
    "Member",
    "MemberEvents",
    "NoteTooLong",
    "Polled",
    "Producer",
    "Reader",
    "UnreadableBatch",
]

IN_A_ROW = 8
"""After how many that went alone the next one is not held for company: it has none."""

Polled = Sequence[tuple[int, list[Record]]]
"""What one poll brought: records by partition."""


class UnreadableBatch(Exception):
    """A batch fails its checksum or can't be unpacked; the next fetch may bring it whole."""

    def __init__(self, topic: str, partition: int, offset: int, following: int, why: str) -> None:
        super().__init__(f"{topic}/{partition} can't be read at offset {offset}: {why}")
        self.partition = partition
        self.offset = offset
        self.following = following
        """The first offset behind the batch."""


class LostMembership(Exception):
    """A commit was refused since we are out of the group, or of its generation."""


class NoteTooLong(Exception):
    """A commit was refused for the length of a note."""


class Producer(Topics, Protocol):
    """Sends records. All methods may be called from any thread."""

    def on_metadata(self, listener: Callable[[], None]) -> None:
        """Call `listener` each time that brokers have answered what is known of topics."""

    def on_ready(self, flush: Callable[[], None]) -> None:
        """Call `flush` after each `wake`."""

    def wake(self, place: Address, *, alone: bool) -> None:
        """Have what waits flushed, as soon as the client can send to that partition.

        By a thread of this client, so that what the caller sends in one go goes together, or by the
        caller at the end of its batch; perhaps at once where messages come one by one (`alone`).
        """

    def view(self, topic: str) -> object:
        """Return what identifies the present knowledge of `topic`; None when it is not known."""
        ...

    def put(
        self,
        place: Address,
        message: Message,
        on_sent: OnSent,
        *,
        once: bool = False,
        limit: int | None = None,
    ) -> None:
        """Queue a record for a partition that is known; never blocks on the network.

        `once`: there is no second attempt where the first may have been appended. `limit` goes
        before `max_message_bytes`. Raises a `TransportError`, then `on_sent` is not called.
        """

    def waits(self, place: Address) -> bool:
        """Whether what is put there now may go together with what is there already."""
        ...

    def close(self, timeout: float) -> None:
        """Send what is queued within `timeout` seconds, fail the rest, end all threads."""


class Reader(Protocol):
    """Reads one partition from its end. Its owner is the thread that polls."""

    def next_records(self, timeout: float) -> Polled:
        """Return what the next fetch brings, waiting at most `timeout` seconds.

        Raises `NotAuthorized`, `UnreadableBatch`, or anything that may pass.
        """
        ...

    def partitions(self) -> Sequence[int]:
        """Return the partitions of the topic; empty when it is gone. Between polls."""
        ...

    def step_over(self, partition: int, offset: int) -> None:
        """Go on reading at `offset`. On the polling thread, between polls."""

    def shut(self, timeout: float) -> None:
        """Close within `timeout` seconds or a little more; a poll under way ends. Never raises."""


class Member(Reader, Protocol):
    """Reads a topic as a member of a group."""

    @property
    def renewed_at(self) -> float:
        """When that was sent, monotonic, which the broker last answered as to a member."""
        ...

    def settled(self) -> None:
        """Look again whether what is in flight is done. Any thread; when closed, nothing."""

    def begin_commit(self, delay: float = 0.0) -> None:
        """Begin to commit what is `committable`, in a while. Any thread; when closed, nothing.

        It is asked for where assignments change too, so that nothing is committed of a partition
        that has gone to another.
        """

    def pause_all(self) -> None:
        """Fetch nothing more from what is assigned. Any thread."""

    def resume_all(self) -> None:
        """Fetch again from what is paused. Any thread."""


class MemberEvents(Protocol):
    """What a group's member tells its owner, on a thread of the driver: nothing may block."""

    def claim(self, offers: Mapping[int, Offer]) -> Mapping[int, Claim]:
        """Return how to take these partitions over; the notes are committed first of all."""
        ...

    def text(self, note: Note) -> str:
        """Return a note as it is to be committed."""
        ...

    def assigned(self, claims: Mapping[int, Claim], topic_id: object) -> None:
        """These partitions are ours now.

        A topic that was deleted and made anew has another `topic_id`.
        """

    def revoking(self, partitions: frozenset[int]) -> None:
        """These partitions will be given up when `drained` says so, or in a while."""

    def drained(self) -> bool:
        """Whether nothing of the partitions that are being given up is in flight."""
        ...

    def committable(self, *, final: bool) -> Round:
        """Return what to commit; `final`: as the last word before partitions are given up."""
        ...

    def committed(self, round_: Round) -> None:
        """That has been committed."""

    def not_committed(self, round_: Round, error: Exception) -> bool:
        """Tell whether to try again: that may not have been committed, for such as `NoteTooLong`.

        After `LostMembership` there is nothing to try.
        """
        ...

    def not_taken(self, error: Exception) -> None:
        """The partitions could not be taken over; another attempt will be made."""

    def gave_up(self) -> None:
        """No partition is ours."""
