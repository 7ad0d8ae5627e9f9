"""When commits are made."""

import threading
import time

from transports.kafka.librdkafka.pace import Pace


def test_a_commit_is_due_when_it_is_asked_for_or_when_the_last_is_old():
    pace = Pace(0.05)
    pace.ask(0.0)

    assert [pace.wait(), pace.wait()] == [True, False]


def test_asking_twice_is_asking_once_for_the_sooner():
    pace, began = Pace(0.3), time.monotonic()
    pace.ask(30)
    pace.ask(0.02)

    assert pace.wait() is True
    assert 0.02 <= time.monotonic() - began < 0.3
    assert pace.wait() is False


def test_closing_ends_the_wait():
    pace, told = Pace(60), []
    waiting = threading.Thread(target=lambda: told.append(pace.wait()))
    waiting.start()
    pace.close()
    waiting.join(10)

    assert told == [None]
