"""Topics that were looked at a moment ago."""

import pytest

from transports.errors import NotAuthorized
from transports.kafka import KafkaConfig, topics
from transports.kafka.fit_topics import FitTopics


@pytest.fixture
def looks(monkeypatch):
    """The topics that brokers were asked for; each has as many partitions as letters."""
    asked = []

    def ensure_topic(_config, topic, purpose, right, _timeout):
        asked.append((topic, purpose, right))
        return len(topic)

    monkeypatch.setattr(topics, "ensure_topic", ensure_topic)
    return asked


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def fit(clock):
    return FitTopics(KafkaConfig(bootstrap=("localhost:9092",)), clock)


def test_what_was_looked_at_a_moment_ago_is_not_looked_at_again(fit, looks, clock):
    assert fit.partitions("orders", "request", "READ", 1) == 6
    clock.now += 0.4
    assert fit.partitions("orders", "request", "READ", 1) == 6

    assert looks == [("orders", "request", "READ")]


def test_after_that_it_is(fit, looks, clock):
    fit.partitions("orders", "request", "READ", 1)
    clock.now += 0.6
    fit.partitions("orders", "request", "READ", 1)

    assert len(looks) == 2


def test_other_rights_and_topics_are_looked_at_by_themselves(fit, looks):
    fit.partitions("orders", "request", "READ", 1)
    fit.partitions("orders", "request", "WRITE", 1)
    fit.partitions("replies", "reply", "READ", 1)

    assert len(looks) == 3


def test_what_can_not_be_used_is_not_remembered(fit, looks, monkeypatch):
    def refuse(*_):
        raise NotAuthorized("no")

    with monkeypatch.context() as patched:
        patched.setattr(topics, "ensure_topic", refuse)
        with pytest.raises(NotAuthorized):
            fit.partitions("orders", "request", "READ", 1)

    assert fit.partitions("orders", "request", "READ", 1) == 6
    assert len(looks) == 1
