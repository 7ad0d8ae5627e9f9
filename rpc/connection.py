"""The open end of a channel: its transport, its inbox, and the threads that serve them.

Threads: `rpc-reader` takes replies from the inbox, `rpc-timer` keeps deadlines and retries,
`rpc-open` connects while callers wait no longer than their own deadlines, `rpc-watch` asks the
broker who serves. `_lock` guards opening against closing; everything it guards is set once.
"""

import threading
from collections.abc import Callable

from rpc.call_errors import closed_error
from rpc.completion import Completion
from rpc.config import transport_url
from rpc.ending import ending
from rpc.inflight import InFlight
from rpc.instance import Instance
from rpc.replies import Replies
from rpc.reply import clock_message
from rpc.sender import Sender
from rpc.timekeeper import Timekeeper
from rpc.watch import Watch
from transports.base import Address, Receipt, Receiver, Transport
from transports.errors import SendUncertain, TransportError, Unreachable
from transports.forks import renew_in_child
from transports.log import get_logger
from transports.registry import open_transport

__all__ = ["Connection"]

_log = get_logger("rpc.channel")
_RECEIVE_WAIT = 1.0  # seconds; `close` ends the wait
_RETRY_WAIT = 1.0  # seconds between attempts to read an inbox that fails


class Connection:
    """Opened once, closed once. `threads=False`: nothing runs but what `step` and `run` do."""

    def __init__(
        self,
        transport: Transport | str | None,
        reply_topic: str | None,
        in_flight: InFlight,
        instance: Instance,
        *,
        threads: bool,
    ) -> None:
        self._given = transport
        self._reply_topic = reply_topic
        self._in_flight = in_flight
        self._replies = Replies(instance, in_flight)
        self._timekeeper = Timekeeper(in_flight)
        self._threads = threads
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._due = threading.Event()
        self._serving: list[threading.Thread] = []
        self._transport: Transport | None = None
        self._inbox: Receiver | None = None
        self.closed = False
        """Whether no more calls can be made: closed, or opened before a fork."""
        self._instance = instance
        in_flight.wake = self._due.set
        self.watch = Watch(self._start, self._timekeeper.learned)
        """Asks who serves; any thread."""
        self._timekeeper.ask = self.watch.begin
        renew_in_child(self)

    def open(self) -> tuple[Transport, Receiver]:
        """Connect, where that has not been done, and return transport and inbox.

        Raises a `TransportError`, and `Unavailable` once the connection is closed.
        """
        with self._lock:
            if self.closed:
                raise closed_error("opening")
            if self._transport is None or self._inbox is None:
                self._transport, self._inbox = self._begin()
            return self._transport, self._inbox

    def learn_time(self, timeout: float) -> None:
        """Let the broker tell its time, so that requests can say when they were sent.

        What can't say it begins to age when it is appended, however late that is. So this waits,
        as long as the reply partition takes no record: no reply would come either. Raises a
        `TransportError` where that lasts for `timeout` seconds. Where the partition may not be
        written to, or does not tell the time, requests go without.
        """
        transport, inbox = self.open()
        if transport.now() is not None:
            return
        told: Completion[Receipt | TransportError] = Completion()
        transport.send(inbox.address, clock_message(), told.set)
        if not self._threads:
            return
        outcome = told.get() if told.wait(timeout) else None
        if outcome is None or isinstance(outcome, Unreachable | SendUncertain):
            why = "" if outcome is None else f": {outcome}"
            raise Unreachable(f"no broker takes a record for {inbox.address}{why}") from outcome

    def close(self, timeout: float) -> None:
        """End the calls in flight, the threads, the inbox, and the transport if it is ours.

        Within about `timeout` seconds, also while another thread is still connecting: that one
        cleans up after itself. A second call does nothing.
        """
        if self.closed:
            return
        self.closed = True
        self._in_flight.close()
        self._stop.set()
        self._due.set()
        if self._lock.acquire(timeout=timeout):
            try:
                self._disconnect(timeout)
            finally:
                self._lock.release()

    def step(self) -> int:
        """Take what is in the inbox and do what is due, without waiting; return the replies."""
        deliveries = () if self._inbox is None else self._inbox.receive(0)
        self._replies.receive(deliveries)
        self._timekeeper.tick()
        return len(deliveries)

    def run(self, work: Callable[[], None]) -> None:
        """Do `work` on a thread of its own, or here and now in a connection without threads."""
        self._start("rpc-open", work)

    def may_wait(self) -> bool:
        """Tell whether this thread may wait for calls to end: it is none that they need for it."""
        return self._threads and not ending.here

    def _start(self, name: str, work: Callable[[], None]) -> None:
        if self._threads:
            _start(name, work)
        else:
            work()

    def _begin(self) -> tuple[Transport, Receiver]:
        transport, inbox = self._connect()
        self.watch.transport = transport
        self._replies.least = transport.worth_a_request
        try:
            self._serve(inbox)
        except BaseException:
            inbox.close(_RETRY_WAIT)
            if transport is not self._given:
                transport.close(_RETRY_WAIT)
            raise
        clock = self._in_flight.clock
        self._in_flight.open(Sender(self._instance, clock, transport.send, transport.now))
        return transport, inbox

    def _connect(self) -> tuple[Transport, Receiver]:
        given = transport_url() if self._given is None else self._given
        transport = open_transport(given) if isinstance(given, str) else given
        try:
            topic = self._reply_topic or f"rpc.replies.{transport.client_id}"
            inbox = transport.receiver(Address(topic), shared=False)
            if self.closed:  # meanwhile, by a `close` that did not wait for us
                inbox.close(_RETRY_WAIT)
                raise closed_error("opening")
        except BaseException:
            if transport is not given:
                transport.close(_RETRY_WAIT)
            raise
        _log.debug("channel.opened", topic=inbox.address.topic, partition=inbox.address.partition)
        return transport, inbox

    def _disconnect(self, timeout: float) -> None:
        if self._inbox is not None:
            self._inbox.close(timeout)
        for thread in self._serving:
            if thread is not threading.current_thread():  # closed from a done callback
                thread.join(timeout)
        if self._transport is not None and self._transport is not self._given:
            self._transport.close(timeout)

    def _serve(self, inbox: Receiver) -> None:
        if not self._threads:
            return
        if not self._serving:  # else from an opening that got no further
            self._serving.append(_start("rpc-timer", self._keep_time))
        self._serving.append(_start("rpc-reader", lambda: self._read(inbox)))

    def _read(self, inbox: Receiver) -> None:
        failed = False
        while not self.closed:
            try:
                deliveries = inbox.receive(_RECEIVE_WAIT)
            except Exception as error:  # also a transport's bug: callers must hear of it
                failed = True
                _log.exception("inbox.failed", topic=inbox.address.topic, error=str(error))
                told = error if isinstance(error, TransportError) else TransportError(str(error))
                self._in_flight.inbox_failed(told)
                self._stop.wait(_RETRY_WAIT)
                continue
            if failed:
                failed = False
                self._in_flight.inbox_failed(None)
            self._replies.receive(deliveries)

    def _keep_time(self) -> None:
        while not self.closed:
            due = self._timekeeper.next_tick()
            wait = None if due is None else max(0.0, due - self._in_flight.clock())
            self._due.wait(None if wait is None else min(wait, threading.TIMEOUT_MAX))
            self._due.clear()
            try:
                self._timekeeper.tick()
            except Exception:  # whatever fails: the deadlines of all calls are kept here
                _log.exception("channel.tick_failed")
                self._stop.wait(_RETRY_WAIT)

    def after_fork(self) -> None:
        """Give up, in the child, what only the parent's threads can serve."""
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self.closed = self.closed or self._in_flight.opened
        self._serving = []
        self._in_flight.after_fork()


def _start(name: str, work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:  # at a limit of the system, or the interpreter is ending
        raise TransportError(f"the thread {name} can't be started: {error}") from error
    return thread
