"""Each injector is shown to bite: on a plain echo server, and on a real broker for Kafka frames."""

import itertools
import socket
import socketserver
import threading
import time

import pytest

import transports.kafka.driver  # noqa: F401 - imports kafka-python without its warnings
from chaos.frames import Api
from chaos.proxy import ProxyThread
from chaos.rules import DOWN, UP, Rules
from transports.kafka.broker.ports import free_ports
from transports.kafka.broker.probe import metadata_request


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while data := self.request.recv(65536):
                self.request.sendall(data)
        except OSError:
            pass


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture
def echo():
    with EchoServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def proxies():
    with ProxyThread(seed=7) as thread:
        yield thread


@pytest.fixture
def path(echo, proxies):
    """A proxy before the echo server, and a connection through it that has carried something."""
    proxy, port = proxies.open(upstream=echo, frames=False)
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        assert ask(connection, b"warm") == b"warm"
        yield proxy, connection, port


def ask(connection, data):
    connection.sendall(data)
    return receive(connection, len(data))


def receive(connection, count):
    got = b""
    while len(got) < count:
        part = connection.recv(65536)
        if not part:
            break
        got += part
    return got


def connect_and_receive(port):
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.recv(1)


def took(act):
    began = time.monotonic()
    act()
    return time.monotonic() - began


def silent(connection, seconds=0.2):
    connection.settimeout(seconds)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(10)
    return False


@pytest.mark.alone
def test_latency_is_added_each_way_and_costs_no_throughput(path):
    proxy, connection, _ = path
    proxy.set(Rules(delay=0.1))

    assert took(lambda: ask(connection, b"x")) >= 0.2
    assert took(lambda: [connection.sendall(b"y" * 100) for _ in range(50)]) < 0.1
    assert receive(connection, 5000) == b"y" * 5000
    assert proxy.bites["delay"] >= 4
    proxy.heal()
    assert took(lambda: ask(connection, b"x")) < 0.1


def test_jitter_differs_and_keeps_the_order(path):
    proxy, connection, _ = path
    proxy.set(Rules(delay=0.03, jitter=0.03))

    times = [took(lambda: ask(connection, b"x")) for _ in range(10)]
    sent = bytes(range(200))
    for byte in sent:
        connection.sendall(bytes([byte]))

    assert receive(connection, 200) == sent
    assert max(times) - min(times) > 0.005


def test_a_rate_bounds_the_bytes_per_second(path):
    proxy, connection, _ = path
    proxy.set(Rules(rate=100_000))

    assert took(lambda: ask(connection, b"z" * 30_000)) >= 0.25
    assert proxy.bites["rate"]


def test_a_cut_resets_every_connection_and_new_ones_work(path):
    proxy, connection, port = path

    assert proxy.cut() == 1
    with pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert proxy.bites["cut"] == 1
    with socket.create_connection(("127.0.0.1", port), 10) as another:
        assert ask(another, b"again") == b"again"


@pytest.mark.parametrize("way", [UP, DOWN])
def test_a_black_hole_keeps_one_direction_silent_until_it_heals(path, way):
    proxy, connection, _ = path
    proxy.set(Rules(blackhole=frozenset({way})))
    before = dict(proxy.passed)

    connection.sendall(b"lost?")

    assert silent(connection)
    assert proxy.passed[DOWN] == before[DOWN]
    assert (proxy.passed[UP] > before[UP]) is (way == DOWN)
    assert proxy.bites["blackhole"] == 1
    proxy.heal()
    assert receive(connection, 5) == b"lost?"


def test_half_open_connections_are_accepted_never_answered_and_reset_at_the_end(path):
    proxy, connection, port = path
    proxy.set(Rules(half_open=True))

    with socket.create_connection(("127.0.0.1", port), 10) as another:
        another.sendall(b"anyone?")
        assert silent(another)
        assert ask(connection, b"old ones live") == b"old ones live"
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            another.recv(1)
    assert proxy.bites["half_open"] == 1


def test_refused_connections_are_reset_at_once(path):
    proxy, _, port = path
    proxy.set(Rules(refuse=True))

    with pytest.raises(ConnectionResetError):
        connect_and_receive(port)
    assert proxy.bites["refuse"] == 1


def test_slices_come_a_few_bytes_at_a_time_and_nothing_is_lost(path):
    proxy, connection, _ = path
    proxy.set(Rules(slice=1))
    sent = bytes(range(256)) * 2

    connection.sendall(sent)
    parts = []
    while sum(map(len, parts)) < len(sent):
        parts.append(connection.recv(65536))

    assert b"".join(parts) == sent
    assert len(parts) > 5
    assert proxy.bites["slice"]


def test_corruption_flips_one_bit_of_what_the_broker_sends(path):
    proxy, connection, _ = path
    proxy.set(Rules(corrupt=1.0))
    sent = bytes(100)

    got = ask(connection, sent)

    assert sum(byte.bit_count() for byte in got) == 1
    assert proxy.bites["corrupt"] == 1


# -- on a real broker ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxied():
    """A broker that tells clients to come through a proxy."""
    from chaos.cluster import ProxiedCluster

    with ProxiedCluster(1) as cluster:
        yield cluster


@pytest.fixture
def front(proxied):
    proxy = proxied.proxies[0]
    yield proxy
    proxy.heal()


@pytest.fixture
def topic(proxied, open_admin, topic_prefix):
    with open_admin(proxied.direct) as admin:
        admin.create_topics({topic_prefix: {"num_partitions": 1, "replication_factor": 1}})
    return topic_prefix


@pytest.fixture
def producer(proxied):
    from kafka import KafkaProducer

    made = KafkaProducer(
        bootstrap_servers=proxied.bootstrap, retry_backoff_ms=20, request_timeout_ms=8000
    )
    yield made
    made.close(5)


def values(bootstrap, topic, count, patience=20.0):
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    got, deadline = [], time.monotonic() + patience
    try:
        while len(got) < count and time.monotonic() < deadline:
            for records in consumer.poll(200).values():
                got += [record.value for record in records]
    finally:
        consumer.close()
    return got


@pytest.mark.kafka
def test_clients_go_through_the_proxy_and_brokers_past_it(proxied, front, topic, producer):
    before = front.passed[UP]

    producer.send(topic, b"a" * 5000).get(20)

    assert front.passed[UP] - before > 5000
    assert proxied.direct != proxied.bootstrap


@pytest.mark.kafka
def test_a_held_produce_request_does_not_reach_the_broker_before_it_is_let_go(
    proxied, front, topic, producer
):
    producer.send(topic, b"first").get(20)
    front.set(Rules(hold=frozenset({(UP, Api.PRODUCE)})))

    held = producer.send(topic, b"held")
    await_bite(front, "hold")

    assert values(proxied.direct, topic, 2, patience=1.0) == [b"first"]
    assert not held.is_done
    front.heal()
    assert held.get(20).offset == 1


@pytest.mark.kafka
def test_a_held_produce_response_leaves_the_record_on_the_broker_and_the_client_waiting(
    proxied, front, topic, producer
):
    producer.send(topic, b"first").get(20)
    front.set(Rules(hold=frozenset({(DOWN, Api.PRODUCE)})))

    held = producer.send(topic, b"held")

    assert values(proxied.direct, topic, 2) == [b"first", b"held"]
    assert not held.is_done
    front.heal()
    assert held.get(20).offset == 1


@pytest.mark.kafka
def test_a_dropped_produce_response_is_a_lost_acknowledgement(proxied, front, topic, producer):
    producer.send(topic, b"first").get(20)
    front.set(Rules(drop=frozenset({(DOWN, Api.PRODUCE)})))

    unsure = producer.send(topic, b"twice?")
    await_bite(front, "drop")
    written = values(proxied.direct, topic, 2)
    front.heal()

    assert written[1] == b"twice?"  # it stands there while its sender does not know
    unsure.get(20)


@pytest.mark.kafka
def test_a_dropped_request_never_reaches_the_broker(proxied, front, topic, producer):
    producer.send(topic, b"first").get(20)
    front.set(Rules(drop=frozenset({(UP, Api.PRODUCE)})))

    pending = producer.send(topic, b"second")
    await_bite(front, "drop")

    assert values(proxied.direct, topic, 2, patience=1.0) == [b"first"]
    front.heal()
    pending.get(20)


@pytest.mark.kafka
def test_corrupt_record_batches_are_noticed_by_their_checksum(proxied, front, topic, producer):
    from kafka import KafkaConsumer, TopicPartition
    from kafka.errors import CorruptRecordError

    producer.send(topic, b"v" * 1000).get(20)
    consumer = KafkaConsumer(bootstrap_servers=proxied.bootstrap, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    front.set(Rules(corrupt=1.0))

    with pytest.raises(CorruptRecordError):
        poll_often(consumer)
    assert front.bites["corrupt"]
    front.heal()
    consumer.close()


def poll_often(consumer):
    for _ in range(100):
        consumer.poll(100)


def await_bite(proxy, name, patience=20.0):
    deadline, pause = time.monotonic() + patience, threading.Event()
    for _ in itertools.count():
        if proxy.bites[name]:
            return
        assert time.monotonic() < deadline, f"{name} did not bite"
        pause.wait(0.01)


@pytest.mark.kafka
def test_the_probe_of_a_broker_goes_unanswered_while_metadata_is_held(proxied, front):
    front.set(Rules(hold=frozenset({(UP, Api.METADATA)})))
    port = int(proxied.bootstrap.rpartition(":")[2])

    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(metadata_request())
        assert silent(connection, 0.5)
        front.heal()
        assert connection.recv(4)


def test_a_proxy_that_closes_resets_what_is_open_and_frees_its_port(echo):
    (port,) = free_ports(1)
    with ProxyThread() as thread:
        thread.open(upstream=echo, listen=port, frames=False)
        connection = socket.create_connection(("127.0.0.1", port), 10)
        assert ask(connection, b"x") == b"x"
    with connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)
