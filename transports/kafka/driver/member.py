# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""A member of a group: joins, takes partitions over, commits, and gives them up in order.

Owner: the thread that polls it. Rebalances and commits run on its loop, on whatever thread
drives it.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    KafkaError,
    KafkaTimeoutError,
    OffsetMetadataTooLargeError,
    UnknownMemberIdError,
)
from kafka.net.wakeup_notifier import WakeupNotifier
from kafka.protocol.consumer import OffsetSpec
from kafka.structs import OffsetAndMetadata, TopicPartition

from transports import failpoints
from transports.kafka.clients import LostMembership, MemberEvents, NoteTooLong
from transports.kafka.driver.client import Client
from transports.kafka.driver.consume import COMMIT_MS, Consumer
from transports.kafka.ledger import Claim, Offer
from transports.log import get_logger

__all__ = ["Member"]

_log = get_logger(__name__)
_FETCH_MS = 5000
_RETRY = 0.1
_LOST = (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    UnknownMemberIdError,
)


class Member(Consumer):
    """Reads a topic as a member of a group."""

    def __init__(
        self,
        client: Client,
        settings: Mapping[str, Any],
        topic: str,
        events: MemberEvents,
        revoke_timeout: float,
    ) -> None:
        super().__init__(client, settings, topic)
        self._events = events
        self._settled = WakeupNotifier(self._net)
        self._revoke_timeout = revoke_timeout

    def join(self, timeout: float) -> None:
        """Subscribe; the polls that follow join the group.

        What is known of the topic is shown to the coordinator, which stock overlooks: it would join
        a second time when it hears the same again. Raises a `TransportError`, and is closed then.
        """
        try:
            self.find_topic(timeout)
        except (KafkaError, ValueError) as error:
            self.shut(0.0)
            raise self._failure(error) from error
        self.subscribe([self.topic], listener=_Listener(self))
        self._coordinator._handle_metadata_update(self._cluster)

    def settled(self) -> None:
        """Look again whether what is in flight is done. Any thread; when closed, nothing."""
        if not self._closed:
            with contextlib.suppress(RuntimeError):
                self._settled.notify()

    def begin_commit(self, delay: float = 0.0) -> None:
        """Begin to commit what is `committable`, in a while. Any thread; when closed, nothing.

        It is asked for where assignments change too, so that nothing is committed of a partition
        that has gone to another.
        """
        with contextlib.suppress(RuntimeError):
            self._manager.call_soon(self._commit_later, delay)

    @property
    def renewed_at(self) -> float:
        """When that was sent, monotonic, which the broker last answered as to a member."""
        return float(self._coordinator.renewed_at)

    def pause_all(self) -> None:
        """Fetch nothing more from what is assigned. Any thread."""
        for tp in self.assignment():
            if self._subscription.is_assigned(tp):
                self.pause(tp)

    def resume_all(self) -> None:
        """Fetch again from what is paused. Any thread."""
        for tp in self.paused():
            if self._subscription.is_assigned(tp):
                self.resume(tp)

    async def _give_up(self, partitions: frozenset[int]) -> None:
        self._events.revoking(partitions)
        deadline = time.monotonic() + self._revoke_timeout
        while not self._events.drained() and (left := deadline - time.monotonic()) > 0:
            await self._settled(left)
        deadline = time.monotonic() + self._commit_ms / 1000
        try:
            while (left := deadline - time.monotonic()) > 0:
                # Shielded by a future of its own: its answer counts, also when it comes too late.
                commit = self._manager.call_soon(self._commit(final=True))
                if await self._manager.wait_for(commit, left * 1000):
                    break
                await self._net.sleep(_RETRY)
        except KafkaError as error:
            _log.warning("kafka.commit_failed", topic=self.topic, why=str(error))
        finally:
            self._events.gave_up()

    async def _commit_later(self, delay: float) -> None:
        if delay:
            await self._net.sleep(delay)
        if not self._closed:
            await self._commit(final=False)

    async def _commit(self, *, final: bool) -> bool:
        """Commit once; tell whether trying again would be in vain."""
        round_ = self._events.committable(final=final)
        try:
            if round_.marks:
                await self._coordinator.ensure_coordinator_ready_async(timeout_ms=COMMIT_MS)
                if failpoints.on and failpoints.hit("group.before_commit"):
                    raise KafkaTimeoutError("failpoint group.before_commit")
                await self._coordinator._send_offset_commit_request(
                    {
                        TopicPartition(self.topic, partition): _said(mark.offset, mark.text)
                        for partition, mark in round_.marks.items()
                    }
                )
                if failpoints.on and failpoints.hit("group.after_commit"):
                    raise KafkaTimeoutError("failpoint group.after_commit")
        except Exception as error:
            # Whatever it is: somebody waits to be told.
            _log.info("kafka.commit_failed", topic=self.topic, why=repr(error))
            return not self._events.not_committed(round_, _told(error))
        self._events.committed(round_)
        return True

    async def _take_over(self, partitions: frozenset[int]) -> None:
        """Make our ownership known to whoever comes after us, and only then use it."""
        tps = [TopicPartition(self.topic, partition) for partition in sorted(partitions)]
        try:
            claims = await self._claim(tps)
        except Exception as error:
            # Nothing is held, so nothing is handed out; the next join tries again.
            _log.warning("kafka.takeover_failed", topic=self.topic, why=repr(error))
            self._events.not_taken(_told(error))
            await self._net.sleep(_RETRY)
            self._coordinator.request_rejoin()
            return
        for tp in tps:
            if self._subscription.is_assigned(tp):
                self._subscription.seek(tp, claims[tp.partition].note.base)
        self._events.assigned(claims, self._cluster.topic_id(self.topic))

    async def _claim(self, tps: Sequence[TopicPartition]) -> Mapping[int, Claim]:
        found = await self._coordinator.fetch_committed_offsets_async(tps, timeout_ms=_FETCH_MS)
        new = [tp for tp in tps if tp not in found]
        ends = await self._offsets(tps, OffsetSpec.LATEST)
        starts = await self._offsets(new, OffsetSpec.EARLIEST)
        offers = {
            tp.partition: Offer(found[tp].offset, found[tp].metadata or "", 0, ends[tp])
            if tp in found
            else Offer(None, "", starts[tp], ends[tp])
            for tp in tps
        }
        claims = self._events.claim(offers)
        if failpoints.on:
            failpoints.hit("group.takeover")
        await self._coordinator._commit_offsets_sync_async(
            {
                TopicPartition(self.topic, partition): _said(note.base, self._events.text(note))
                for partition, (_, note, _) in claims.items()
            },
            timeout_ms=_FETCH_MS,
        )
        return claims

    async def _offsets(
        self, tps: Sequence[TopicPartition], where: OffsetSpec
    ) -> Mapping[TopicPartition, int]:
        asked = dict.fromkeys(tps, where)
        found = await self._fetcher._fetch_offsets_by_times_async(asked, timeout_ms=_FETCH_MS)
        return {tp: place.offset for tp, place in found.items()}


def _said(offset: int, text: str) -> OffsetAndMetadata:
    return OffsetAndMetadata(offset, text, -1)


def _told(error: Exception) -> Exception:
    """Tell why a commit failed as `MemberEvents` are told it."""
    if isinstance(error, _LOST):
        return LostMembership(str(error) or type(error).__name__)
    if isinstance(error, OffsetMetadataTooLargeError):
        return NoteTooLong(str(error))
    return error


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """Passes rebalances on to the member. On the loop."""

    def __init__(self, member: Member) -> None:
        self._member = member

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._member._give_up(frozenset(tp.partition for tp in revoked))

    async def on_partitions_assigned(self, assigned: Any) -> None:
        await self._member._take_over(frozenset(tp.partition for tp in assigned))

    async def on_partitions_lost(self, lost: Any) -> None:
        _log.warning("kafka.lost", partitions=sorted(tp.partition for tp in lost))
        self._member._events.gave_up()
