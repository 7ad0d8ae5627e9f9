# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""Sockets that are closed when nothing comes of them.

Stock leaves them to the garbage collector: an outage that lasts piles up open files.
"""

from collections.abc import Mapping
from typing import Any

from kafka.errors import KafkaConnectionError, KafkaError
from kafka.net.inet import KafkaNetSocket
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

__all__ = ["close_socket", "open_transport"]


class WholeReads:
    """Reads what came before the end of a connection; stock throws it away.

    A broker says what is wrong with a password, and hangs up: often both are there at once.
    """

    def _sock_recv(self) -> tuple[bytes, Any]:
        received: tuple[bytes, Any] = super()._sock_recv()  # type: ignore[misc]  # of the transport
        data, error = received
        return data, None if data else error


class PlainTransport(WholeReads, KafkaTCPTransport):  # type: ignore[misc]  # untyped
    """TCP."""


class TlsTransport(WholeReads, KafkaSSLTransport):  # type: ignore[misc]  # untyped
    """TLS over TCP."""


async def open_transport(
    net: Any, node: Any, config: Mapping[str, Any], timeout_at: float | None
) -> Any:
    """Return a connected transport to `node`, after its TLS handshake if there is one.

    Raises `KafkaError`, or what the TLS settings raise.
    """
    sock = await _open_socket(net, node, config, timeout_at)
    try:
        transport = _wrap(net, sock, node.host, config)
    except BaseException:
        sock.close()
        raise
    try:
        await transport.handshake()
    except Exception as error:
        transport._close()
        raise KafkaConnectionError(f"Handshake failed: {error}") from error
    except BaseException:
        transport._close()
        raise
    return transport


def close_socket(transport: Any) -> None:
    """Close the socket of a transport whose loop has ended; again: nothing."""
    sock, transport._sock = transport._sock, None
    if sock is not None:
        sock.close()


async def _open_socket(
    net: Any, node: Any, config: Mapping[str, Any], timeout_at: float | None
) -> Any:
    factory = KafkaNetSocket(config["proxy_url"])
    trouble: Exception = KafkaConnectionError(f"{node.host} can't be resolved")
    for family, kind, protocol, _, address in factory.dns_lookup(node.host, node.port):
        sock = factory.socket(family, kind, protocol)
        try:
            sock.setblocking(False)  # noqa: FBT003 - the socket module's own
            for option in config["socket_options"]:
                sock.setsockopt(*option)
            return await factory.sock_connect(net, sock, address, timeout_at=timeout_at)
        except (OSError, KafkaError) as error:
            sock.close()
            trouble = error if isinstance(error, KafkaError) else KafkaConnectionError(str(error))
        except BaseException:
            sock.close()
            raise
    raise trouble


def _wrap(net: Any, sock: Any, host: str, config: Mapping[str, Any]) -> Any:
    if config["security_protocol"] not in {"SSL", "SASL_SSL"}:
        return PlainTransport(net, sock, host=host)
    tls = {name: value for name, value in config.items() if name.startswith("ssl_")}
    return TlsTransport(net, sock, host=host, **tls)
