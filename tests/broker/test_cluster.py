import pytest

from transports.kafka.broker import Cluster
from transports.kafka.broker.probe import ask_known_brokers
from transports.kafka.broker.properties import HOST

pytestmark = pytest.mark.kafka


def test_when_one_of_three_is_killed_the_others_go_on_and_it_comes_back(open_admin):
    with Cluster(3) as cluster:
        first, second, third = cluster.brokers
        with open_admin(cluster.bootstrap.split(",")) as admin:
            admin.create_topics({"before": {"num_partitions": 3, "replication_factor": 3}})
        first.kill()
        while ask_known_brokers(HOST, second.port, timeout=5.0) != {2, 3}:
            assert second.running
        with open_admin(second.bootstrap) as admin:
            admin.create_topics({"meanwhile": {"num_partitions": 1, "replication_factor": 2}})
        first.start()
        with open_admin(first.bootstrap) as admin:
            topics = admin.list_topics()

    assert cluster.bootstrap == f"{first.bootstrap},{second.bootstrap},{third.bootstrap}"
    assert sorted(topics) == ["before", "meanwhile"]
    assert not any(broker.running for broker in cluster.brokers)
    assert not first.log_path.exists()
