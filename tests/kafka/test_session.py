"""A session whose member can't be opened: its owner is told, and its thread tries again."""

import queue
from types import SimpleNamespace

import pytest

from transports.errors import NotAuthorized, Unreachable
from transports.kafka import KafkaConfig, session
from transports.kafka.session import Session

DENIED = NotAuthorized("no right")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [(DENIED, NotAuthorized, "no right"), (KeyError("zst"), Unreachable, r"KeyError\('zst'\)")],
)
def test_what_keeps_it_from_joining_is_told_as_often_as_it_is_tried(monkeypatch, error, kind, says):
    def open_member(*_):
        raise error

    told = queue.Queue()
    owner = SimpleNamespace(failed=lambda _, failure: told.put(failure))
    monkeypatch.setattr(session, "_BACKOFF", 0.01)
    monkeypatch.setattr(session, "driver", lambda _: SimpleNamespace(open_member=open_member))
    made = Session(KafkaConfig(), "t", "g", owner, None)
    made.start()
    failures = [told.get(timeout=10) for _ in range(2)]
    made.stop(10)

    assert not made._thread.is_alive()
    for failure in failures:
        with pytest.raises(kind, match=says):
            raise failure
