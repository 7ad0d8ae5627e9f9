"""gRPC-Python, unary calls over loopback TCP, no broker: bytes in, the same bytes out.

Without protobuf, which would only add to its cost. The server is the threaded one with a pool of
10, or the one on asyncio.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import grpc
import grpc.aio

from benchmarks.loops import by_futures, by_tasks, by_threads, one_by_one

_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
_METHOD = "/bench.Echo/echo"


def _handlers(echo):
    return grpc.method_handlers_generic_handler(
        "bench.Echo", {"echo": grpc.unary_unary_rpc_method_handler(echo)}
    )


def serve(ready):
    """Echo for ever, on threads."""
    server = grpc.server(ThreadPoolExecutor(10), options=_OPTIONS)
    server.add_generic_rpc_handlers((_handlers(lambda request, _context: request),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    ready(port=port)
    server.wait_for_termination()


def serve_aio(ready):
    """Echo for ever, on an event loop."""
    asyncio.run(_serve_aio(ready))


async def _serve_aio(ready):
    async def echo(request, _context):
        return request

    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((_handlers(echo),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ready(port=port)
    await server.wait_for_termination()


class Client:
    """Keeps calls in flight by futures or threads of the synchronous client."""

    def __init__(self, port):
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS)
        self._echo = self._channel.unary_unary(_METHOD)
        self._echo(b"", wait_for_ready=True)

    def run(self, style, in_flight, payload, seconds):
        """Return the latencies, in seconds, of the calls ended within `seconds`."""
        echo, body, ends = self._echo, b"x" * payload, perf_counter() + seconds
        if in_flight == 1:
            return one_by_one(lambda: echo(body), ends)
        if style == "threads":
            return by_threads(lambda: echo(body), in_flight, ends)
        return by_futures(lambda: echo.future(body), in_flight, ends)

    def close(self):
        """Close the channel."""
        self._channel.close()


class AsyncClient:
    """Keeps calls in flight by tasks of the client on asyncio."""

    def __init__(self, port):
        self._runner = asyncio.Runner()
        self._runner.run(self._start(port))

    async def _start(self, port):
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS)
        self._echo = self._channel.unary_unary(_METHOD)
        await self._echo(b"", wait_for_ready=True)

    def run(self, _style, in_flight, payload, seconds):
        """Return the latencies, in seconds, of the calls ended within `seconds`."""
        body, ends = b"x" * payload, perf_counter() + seconds
        return self._runner.run(by_tasks(lambda: self._call(body), in_flight, ends))

    async def _call(self, body):
        return await self._echo(body)

    def close(self):
        """Close the channel and the loop."""
        self._runner.run(self._channel.close())
        self._runner.close()
