"""The handle of a producer in use: a thread polls it, and replaces it where librdkafka gives it up.

After some errors librdkafka takes nothing more by a handle, for good; what it has it tells of.
"""

import math
import threading
import time

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Producer as RawProducer

from transports.kafka.config import KafkaConfig
from transports.kafka.librdkafka.errors import error_of
from transports.kafka.librdkafka.handle import Trouble, drain, give_up, new_producer
from transports.log import get_logger

__all__ = ["Polled"]

_log = get_logger(__name__)
_POLL = 0.5
_RENEW_EVERY = 1.0


class Polled:
    """A handle that lasts. Reports come on the thread, and from `close` on whoever closes."""

    def __init__(self, config: KafkaConfig, trouble: Trouble) -> None:
        """Make the handle; `thread` is to be started by the owner. Raises `ConfigurationError`."""
        self._config = config
        self._trouble = trouble
        self._stopped = threading.Event()
        self._renewed = -math.inf
        self.handle: RawProducer = new_producer(config, trouble)
        name = f"rpc-kafka-sender-{config.client_id}"
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def close(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for what was put, and give the rest up."""
        self._stopped.set()
        handle = self.handle
        drain(handle, timeout)
        give_up(handle)

    def _run(self) -> None:
        fatal: KafkaError | None = None
        while not self._stopped.is_set():
            try:
                if fatal is not None and self._renew(fatal):
                    fatal = None
                self.handle.poll(_POLL)
            except KafkaException as failure:
                error = error_of(failure)
                if error.fatal():  # which is told once
                    fatal = error
                else:
                    _log.warning("kafka.poll_failed", why=error.str())
            except Exception:  # whatever it is: somebody waits to be told of the next message
                _log.exception("kafka.report_failed")

    def _renew(self, error: KafkaError) -> bool:
        """Go on with another handle, and have it told what the old one leaves; False: not yet.

        Not at once where that was just tried: what is put meanwhile fails soon, as it would then.
        """
        now = time.monotonic()
        if now < self._renewed + _RENEW_EVERY:
            return False
        self._renewed = now
        _log.error("kafka.producer_renewed", why=error.str())
        old, self.handle = self.handle, new_producer(self._config, self._trouble)
        self._trouble.over()
        give_up(old)
        return True
