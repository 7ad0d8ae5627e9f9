# ruff: noqa: SLF001 - this folder exists to reach into kafka-python's private code
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false, reportOptionalMemberAccess=false
# - pyright brings stubs of kafka-python 2; what is meant here is 3.0
"""Sockets that are read and written without delay, and closed when nothing comes of them.

Stock leaves the latter to the garbage collector: an outage that lasts piles up open files.
"""

import ssl
import time
from collections.abc import Mapping
from typing import Any

from kafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaProtocolError,
    KafkaTimeoutError,
)
from kafka.net.inet import KafkaNetSocket
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

from transports.kafka.driver.loop import Reading

__all__ = ["close_socket", "open_transport"]

_MOST = 262_144
"""Bytes of one read; stock reads 4096 until there are none left."""


class SteadyReads(KafkaTCPTransport):  # type: ignore[misc]  # kafka-python is untyped
    """Reads as long as the connection is there, and what came before its end.

    Stock throws the latter away: a broker says what is wrong with a password, and hangs up, and
    often both are there at once.
    """

    _read: bool

    def resume_reading(self) -> None:
        """Begin to read."""
        if not self._read:
            self._read = True
            self._read_task = Reading(self)
            self._read_task.begin(self._net, self._sock)

    def read(self) -> None:
        """Pass on what is there. On the loop."""
        data, error = self._sock_recv()
        if not data:
            if error:
                self.abort(error=error)
            return
        self.last_read, self._protocol.heard = time.monotonic(), True
        try:
            self._protocol.data_received(data)
        except KafkaProtocolError as violation:
            self.abort(error=violation)


class PlainTransport(SteadyReads):
    """TCP, written to at once as long as the kernel takes it.

    Stock goes round the loop three times for each write.
    """

    async def handshake(self, timeout_at: float | None = None) -> None:
        """Nothing: there is nothing to agree on."""

    def _sock_recv(self) -> tuple[bytes, Any]:
        """Return what is there; when there is more, the loop says so again."""
        try:
            data: bytes = self._sock.recv(_MOST)
        except (BlockingIOError, InterruptedError):
            return b"", None
        except OSError as error:
            return b"", KafkaConnectionError(str(error))
        return data, None if data else KafkaConnectionError("the broker has hung up")

    def write(self, data: Any) -> None:
        """Send `data`; what the kernel doesn't take, or refuses, is left to the loop."""
        if self._writing or self._closed or not self._write:
            super().write(data)
            return
        try:
            sent = self._sock.send(data)
        except OSError:
            sent = 0
        if sent < len(data):
            super().write(memoryview(data)[sent:])
        else:
            self.last_write = time.monotonic()


class TlsTransport(SteadyReads, KafkaSSLTransport):  # type: ignore[misc]  # untyped
    """TLS over TCP, agreed on in time.

    Stock waits for ever for who takes a connection and says nothing, as a broker that is frozen.
    """

    async def handshake(self, timeout_at: float | None = None) -> None:
        """Agree on keys until then, monotonic. Raises `OSError` or `KafkaTimeoutError`."""
        while True:
            try:
                self._sock.do_handshake()
            except ssl.SSLWantReadError:
                await self._net.wait_read(self._sock, timeout_at)
            except ssl.SSLWantWriteError:
                await self._net.wait_write(self._sock, timeout_at)
            else:
                return


async def open_transport(
    net: Any, node: Any, config: Mapping[str, Any], timeout_at: float | None
) -> Any:
    """Return a connected transport to `node`, after its TLS handshake if there is one.

    Until `timeout_at`, monotonic. Raises `KafkaError`, or what the TLS settings raise.
    """
    sock = await _open_socket(net, node, config, timeout_at)
    try:
        transport = _wrap(net, sock, node.host, config)
    except BaseException:
        sock.close()
        raise
    try:
        await transport.handshake(timeout_at)
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
        except KafkaTimeoutError:
            sock.close()
            # Handed on, it would be taken for the end of the time of who waits for an answer
            trouble = KafkaConnectionError(f"{node.host} took no connection in time")
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
