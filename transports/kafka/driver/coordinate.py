# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""Group membership without lost joins and without stale positions."""

import math
from collections.abc import Callable
from typing import Any

from kafka.coordinator.assignors.abstract import RebalanceProtocol
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.errors import FencedInstanceIdError, KafkaError, KafkaTimeoutError
from kafka.future import Future
from kafka.protocol.consumer import LeaveGroupRequest

from transports.log import get_logger

__all__ = ["SteadyCoordinator"]

_log = get_logger(__name__)
_BREATH = 0.05


class HeldJoin:
    """A join under way that is not thrown away for having finished.

    Stock asks `is_done` to decide whether to begin another join, also when the finished one was
    never looked at: it ended between two polls.
    """

    def __init__(self, future: Future) -> None:
        self._future = future

    @property
    def is_done(self) -> bool:
        """Whether it failed by a timeout of its own, which stock takes for that of who waits."""
        return isinstance(self._future.exception, KafkaTimeoutError)

    def add_callback(self, callback: Callable[..., object]) -> None:
        self._future.add_callback(callback)

    def add_errback(self, errback: Callable[..., object]) -> None:
        self._future.add_errback(errback)


class SteadyCoordinator(ConsumerCoordinator):  # type: ignore[misc]  # kafka-python is untyped
    """A coordinator that applies each join it began, and forgets positions in a rebalance."""

    _held: HeldJoin | None = None

    renewed_at = -math.inf
    """When that was sent, monotonic, which the broker last answered by taking us for a member."""

    def _process_sync_group_response(self, response: Any, send_time: float) -> Any:
        assignment = super()._process_sync_group_response(response, send_time)
        self.renewed_at = send_time
        return assignment

    def _handle_heartbeat_response(self, response: Any, send_time: float) -> None:
        """Take note of a heartbeat that was answered, and not of one in a rebalance.

        There the broker waits for a join, for another while than that of a session.
        """
        try:
            super()._handle_heartbeat_response(response, send_time)
        except FencedInstanceIdError:
            self.renewed_at = -math.inf
            raise
        self.renewed_at = max(self.renewed_at, send_time)

    def reset_generation(self, *args: object, **options: object) -> None:
        """Be no member any more; what was renewed counts no longer."""
        self.renewed_at = -math.inf
        super().reset_generation(*args, **options)

    def coordinator(self) -> Any:
        """Return the coordinator's id; None where it is not known, or can't be reached for now.

        Stock asks the client, which answers as the sender needs it: that a connection which is just
        being made delays too. The coordinator would be looked up without a pause until it is made.
        """
        node = self.coordinator_id
        if node is None or self._client.connected(node) or not self._manager.connection_delay(node):
            return node
        self.coordinator_dead("Node Disconnected")
        return None

    def ensure_coordinator_ready(self, timeout_ms: float | None = None) -> bool:
        """Find the coordinator; stock goes round the loop also where it is known."""
        if not self.coordinator_unknown():
            return True
        return bool(super().ensure_coordinator_ready(timeout_ms))

    def time_to_next_poll(self) -> float:
        """Return for how many seconds a poll may wait for records.

        Stock says 0 as long as a heartbeat is due, also while a frozen broker owes the answer to
        one, and polls as fast as the processor can.
        """
        return max(_BREATH, float(super().time_to_next_poll()))

    @property
    def _join_task(self) -> Any:
        return self._held

    @_join_task.setter
    def _join_task(self, future: Future | None) -> None:
        self._held = None if future is None else HeldJoin(future)

    def need_rejoin(self) -> bool:
        """Return whether there is a join to begin, or one to finish.

        Stock forgets the latter when the join came of a change in metadata that the join itself
        took note of: the member then waits for ever.
        """
        return self._held is not None or bool(super().need_rejoin())

    async def _on_join_prepare_async(self, *args: object, **options: object) -> None:
        """Give the assignment up, as the Java client does.

        Stock keeps the positions of partitions that it gets back, although others may have read on
        in a generation that this member missed.
        """
        await super()._on_join_prepare_async(*args, **options)
        if self._rebalance_protocol == RebalanceProtocol.EAGER:
            self._subscription.assign_from_subscribed([])

    async def maybe_leave_group_async(
        self, reason: str | None = None, timeout_ms: float | None = None
    ) -> None:
        """Leave the group, also while a join is under way.

        Stock sends the request on the connection where the join is waiting, behind it, so that the
        others wait for a member that has gone.
        """
        generation = self._generation
        if self._held is not None and generation.has_member_id() and self.coordinator():
            node = int(str(self.coordinator_id).removeprefix("coordinator-"))
            request = LeaveGroupRequest(
                group_id=self.group_id,
                member_id=generation.member_id,
                members=[LeaveGroupRequest.MemberIdentity(member_id=generation.member_id)],
            )
            try:
                await self._manager.wait_for(self._manager.send(request, node_id=node), timeout_ms)
            except KafkaError as error:
                _log.debug("kafka.leave_failed", group=self.group_id, why=str(error))
            self.reset_generation()
        await super().maybe_leave_group_async(reason, timeout_ms)
