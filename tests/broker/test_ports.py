import socket

from transports.kafka.broker.ports import free_ports, is_free


def test_free_ports_differ_and_lie_below_those_of_outgoing_connections():
    ports = free_ports(50)

    assert len(set(ports)) == 50
    assert all(20_000 <= port < 32_000 for port in ports)
    assert all(map(is_free, ports))


def test_a_port_that_is_listened_on_is_not_free():
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.1", port)):
        while_open = is_free(port)
    after = is_free(port)

    assert (while_open, after) == (False, True)
