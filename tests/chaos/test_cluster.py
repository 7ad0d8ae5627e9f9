"""Who is who among the brokers of a run, as their answers have it."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from chaos.cluster import ProxiedCluster


@pytest.fixture
def cluster(monkeypatch):
    """A cluster whose brokers are asked by an admin client that we make up."""
    made = ProxiedCluster.__new__(ProxiedCluster)

    def answers(result):
        told: Future = Future()
        if isinstance(result, Exception):
            told.set_exception(result)
        else:
            told.set_result(result)
        admin = SimpleNamespace(describe_consumer_groups=lambda groups, **_: {groups[0]: told})
        monkeypatch.setattr(made, "_admin", lambda: admin)
        return made

    return answers


def test_a_coordinator_is_told_by_its_index(cluster):
    found = SimpleNamespace(coordinator=SimpleNamespace(id=3))

    assert cluster(found).coordinator("group") == 2
    assert cluster(SimpleNamespace(coordinator=None)).coordinator("group") is None


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    ],
)
def test_while_the_coordinator_moves_there_is_none(cluster, code):
    assert cluster(KafkaException(KafkaError(code))).coordinator("group") is None


def test_what_else_goes_wrong_is_told(cluster):
    wrong = cluster(KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)))

    with pytest.raises(KafkaException):
        wrong.coordinator("group")
