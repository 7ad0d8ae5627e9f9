"""Writes what is no request into a service's topic, as a broken or hostile producer would."""

import random
import threading
from types import TracebackType
from typing import Self

from confluent_kafka import Producer

from chaos.workload import TOPIC

__all__ = ["Poison"]


class Poison:
    """A thread that writes a record of nonsense at a rate. A context manager."""

    def __init__(self, bootstrap: str, rate: float, seed: int) -> None:
        self._bootstrap, self._every = bootstrap, 1 / rate
        self._chance = random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-poison", daemon=True)
        self.written = 0
        """How many records the broker has acknowledged."""

    def _run(self) -> None:
        producer = Producer({"bootstrap.servers": self._bootstrap, "log_level": 0})
        while not self._over.wait(self._every):
            producer.produce(TOPIC, on_delivery=self._told, **self._record())
            producer.poll(0)
        producer.flush(10)

    def _told(self, error: object, _: object) -> None:
        self.written += error is None

    def _record(self) -> dict[str, object]:
        noise = self._chance.randbytes(self._chance.randrange(64))
        call = self._chance.randbytes(16)
        return self._chance.choice(
            (
                {"value": noise},
                {"value": None, "headers": [("rpc-kind", b"request")]},
                {"value": noise, "headers": [("rpc-kind", noise), ("kafka_correlationId", call)]},
                {"value": b"[" * 5000, "headers": self._request(call, b"chaos/echo")},
                {"value": b"{}", "headers": self._request(call, noise)},
                {
                    "value": b"{}",
                    "headers": [
                        *self._request(call, b"chaos/echo"),
                        ("kafka_replyTopic", b"__consumer_offsets"),
                    ],
                },
            )
        )

    def _request(self, call: bytes, method: bytes) -> list[tuple[str, bytes]]:
        return [
            ("rpc-version", b"1"),
            ("rpc-kind", b"request"),
            ("rpc-method", method),
            ("kafka_correlationId", call),
            ("content-type", b"application/json"),
            ("rpc-timeout", b"5000"),
        ]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(15)
