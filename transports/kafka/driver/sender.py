# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""kafka-python's sender, which knows more of what it sent, and lets others send in its place.

What is added: a failed batch knows whether an attempt may have reached the broker, and then gives
up the records in it that must not be appended twice; acknowledgements teach what time it is at the
broker; and while the sender's thread waits, whoever has something to send sends it by himself.

Owner: who has the loop: the sender's thread, unless it waits, or who has borrowed it in `push`.
"""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from kafka.errors import InvalidMetadataError, InvalidRecordError, KafkaConnectionError
from kafka.producer.sender import Sender

from transports.kafka.broker_clock import BrokerClock
from transports.kafka.driver.accumulate import Batch
from transports.kafka.errors import indefinite, sending
from transports.log import get_logger
from transports.outcome import tell

__all__ = ["SteadySender"]

_log = get_logger(__name__)
_SLOW = 1.0
"""After how many seconds without an answer brokers are asked whether others lead by now."""
_LOOK_AGAIN = 0.5


class SteadySender(Sender):  # type: ignore[misc]  # kafka-python is untyped
    """A sender that marks what may have been appended, and saves the neighbours of a bad record."""

    clock: BrokerClock
    before_send: Callable[[], object] = bool
    """Called before each look at what is to be sent: what is put now goes too."""
    rung = False
    """Whether something was begun since the sender's thread looked."""
    flushing = 0
    """The thread that is in `before_send`, by its number: what it puts will be found next."""
    alone = 0
    """How often in a row one record alone was sent, with nothing else under way."""
    _failed = False

    def run(self) -> None:
        """Send until closed."""
        self._client._net.call_later(_LOOK_AGAIN, self._look_at_slow_brokers)
        super().run()

    def run_once(self) -> None:
        """Send what is there, and wait for what happens next.

        What others are just sending shall go together. So they are let go on first: whoever has the
        interpreter keeps it until it waits for something. Where nobody is, this takes no time.
        """
        if self.rung:
            self.rung = False
            time.sleep(0)
        with self._client._net.own:
            timeout_ms = self._send_producer_data()
        self._client.poll(timeout_ms=timeout_ms)

    def push(self) -> bool:
        """Send what is there on the calling thread; False where the sender's is to look again."""
        net = self._client._net
        if not (self._running and net.borrow()):
            return False
        try:
            self._failed = False
            timeout_ms = self._send_producer_data()
        except Exception:  # as on the sender's thread: some message was no message
            _log.exception("kafka.push_failed")
            return False
        finally:
            net.give_back()
        return not self._failed and not 0 < timeout_ms < _LOOK_AGAIN * 1000

    def _send_producer_data(self, now: float | None = None) -> float:
        self.flushing = threading.get_ident()
        try:
            self.before_send()
        finally:
            self.flushing = 0
        timeout_ms: float = super()._send_producer_data(now)
        return timeout_ms

    def _look_at_slow_brokers(self) -> None:
        """Leave a broker that owes an answer and leads nothing any more: others do it by now.

        Stock waits out the request's timeout where a broker is frozen or cut off, though its
        partitions have new leaders long before.
        """
        manager, now = self._client._manager, time.monotonic()
        for node, connection in list(manager._conns.items()):
            waiting = connection.in_flight_requests
            if not waiting or not connection.connected or now - waiting[0][2] < _SLOW:
                continue
            if isinstance(node, str):  # asked for metadata aside: it leads by another name
                continue
            if self._metadata.partitions_for_broker(node):
                self._metadata.request_update()
            else:
                connection.close(KafkaConnectionError(f"broker {node} leads nothing any more"))
        if not manager.closed:
            self._client._net.call_later(_LOOK_AGAIN, self._look_at_slow_brokers)

    def _create_produce_requests(self, collated: Mapping[int, list[Batch]]) -> Any:
        now, records = time.monotonic(), 0
        for batches in collated.values():
            # Stock lets batches expire after it took them to be sent, and sends them all the same
            batches[:] = [batch for batch in batches if batch.final_state is None]
            for batch in batches:
                batch.outstanding, batch.sent_at = True, now
                records += batch.record_count
        if records:
            alone = records == 1 and not self._client.in_flight_request_count()
            self.alone = self.alone + 1 if alone else 0
        return super()._create_produce_requests(collated)

    def _handle_produce_response(
        self, node_id: int, send_time: float, batches: list[Batch], response: Any
    ) -> None:
        answered = time.monotonic()
        # One of the stamps will do; none on topics that keep their producers' time.
        for partition in response.responses[0].partition_responses if response.responses else ():
            if partition.error_code == 0 and partition.log_append_time_ms > 0:
                stamp = partition.log_append_time_ms / 1000
                self.clock.learn(node_id, stamp, batches[0].sent_at, answered)
                break
        super()._handle_produce_response(node_id, send_time, batches, response)

    def _dispatch_error(
        self, batch: Batch, exception: BaseException, partition_response: Any
    ) -> None:
        self._failed = True
        if batch.outstanding and _may_be_there(exception, partition_response):
            batch.doubtful = True
        batch.outstanding = False
        innocent = self._innocent(batch, exception, partition_response)
        if innocent:
            self._split(batch, exception, innocent)
        elif batch.once and batch.doubtful and self._can_retry(batch, type(exception)):
            self._give_up_once(batch, exception)
        else:
            super()._dispatch_error(batch, exception, partition_response)

    def _give_up_once(self, batch: Batch, exception: BaseException) -> None:
        """Fail the records that another attempt might append twice; try the others again."""
        others = [i for i in range(batch.record_count) if i not in batch.once]
        if isinstance(exception, InvalidMetadataError):
            self._metadata.request_update()
        self._split(batch, exception, others, patient=True)

    def _innocent(self, batch: Batch, exception: BaseException, response: Any) -> list[int]:
        """Return the indices of records that were refused only for their company."""
        if response is None or not response.record_errors or batch.final_state is not None:
            return []
        if not isinstance(exception, InvalidRecordError):
            return []
        guilty = {error.batch_index for error in response.record_errors}
        return [i for i in range(batch.record_count) if i not in guilty]

    def _split(
        self, batch: Batch, exception: BaseException, spared: list[int], *, patient: bool = False
    ) -> None:
        """Queue the spared records of a failed batch anew, and fail the others."""
        topic, partition = batch.topic_partition
        kept = set(spared)
        failed = [f for i, f in enumerate(batch._record_futures) if i not in kept]
        self._accumulator.requeue(batch, (spared,) if spared else (), patient=patient)
        self._maybe_remove_from_inflight_batches(batch)
        self._accumulator.muted.discard(batch.topic_partition)
        for on_sent in failed:
            tell(on_sent, sending(exception, topic, partition, doubtful=batch.doubtful))


def _may_be_there(error: BaseException, response: Any) -> bool:
    """Whether an attempt that ended so may have been appended all the same.

    A leader that appends, and is deposed while it waits for its replicas, answers as one that was
    none in the first place; but it tells the offset.
    """
    return response is None or indefinite(error) or response.base_offset >= 0
