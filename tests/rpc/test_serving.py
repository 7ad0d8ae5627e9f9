"""A server as a process: signals, drains, exit codes."""

import gc
import os
import queue
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Protocol

import pytest

import rpc
from contracts import ContractError, method, service
from transports.errors import NotAuthorized

SERVER = '''
    """Serve one service: python server.py URL NAME."""

    import multiprocessing
    import sys
    import threading
    import time
    from typing import Protocol

    import rpc

    url, name = sys.argv[1:]
    go = threading.Event()

    @rpc.service(name=name)
    class Desk(Protocol):
        @rpc.method(timeout=60)
        def ask(self, text: str) -> str: ...

        @rpc.method(timeout=60)
        def hold(self) -> str: ...

    class DeskImpl(Desk):
        def ask(self, text: str) -> str:
            return text.upper()

        def hold(self) -> str:
            print("holding", flush=True)
            go.wait(60)
            return "held"

    def listen() -> None:
        for line in sys.stdin:
            if line == "go\\n":
                go.set()
            elif line == "fork\\n":
                fork()
            else:
                client.hold.future()

    def fork() -> None:
        forks = multiprocessing.get_context("fork")
        runs = forks.Event()
        child = forks.Process(target=lambda: (runs.set(), time.sleep(60)))
        child.start()
        runs.wait(10)
        child.terminate()
        child.join(10)
        print(child.exitcode, flush=True)
        child.kill()

    client = rpc.Stub(Desk, channel=rpc.Channel(url))
    threading.Thread(target=listen, daemon=True).start()
    rpc.serve(DeskImpl(), transport=url, on_ready=lambda server: print("ready", flush=True))
    print("drained", flush=True)
'''


class Process:
    """A server process and what it says, line by line."""

    def __init__(self, script, *args, patience):
        self.patience = patience
        self.lines = queue.Queue()
        path = os.pathsep.join(part for part in sys.path if part)
        self.popen = subprocess.Popen(
            [sys.executable, script, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.popen.stdout:
            self.lines.put(line.strip())
        self.lines.put(None)

    def says(self):
        return self.lines.get(timeout=self.patience)

    def tell(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def end(self):
        """Return the exit code and what was said on standard error."""
        code = self.popen.wait(self.patience)
        return code, self.popen.stderr.read()

    def close(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        self.reader.join(5)
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            pipe.close()


@pytest.fixture
def start(tmp_path, patience):
    """Return what starts a server process; killed at the end if it still runs."""
    script = tmp_path / "server.py"
    script.write_text(textwrap.dedent(SERVER))
    started = []

    def run(url, name="Desk", patience=patience):
        started.append(Process(str(script), url, name, patience=patience))
        return started[-1]

    yield run
    for each in started:
        each.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_order(start, number):
    process = start("memory://serving")
    ready = process.says()
    process.popen.send_signal(number)

    assert ready == "ready"
    assert process.says() == "drained"
    assert process.end() == (0, "")


def test_a_signal_lets_running_calls_end(start):
    process = start("memory://serving")
    process.says()
    process.tell("call")
    holding = process.says()
    process.popen.send_signal(signal.SIGTERM)
    process.tell("go")

    assert holding == "holding"
    assert process.says() == "drained"
    assert process.end() == (0, "")


def test_a_signal_right_behind_the_one_that_lets_a_process_go_on_is_heard(start, await_true):
    process = start("memory://serving")
    process.says()
    stat = Path(f"/proc/{process.popen.pid}/stat")
    process.popen.send_signal(signal.SIGSTOP)
    await_true(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
    process.popen.send_signal(signal.SIGCONT)
    process.popen.send_signal(signal.SIGTERM)

    assert process.says() == "drained"
    assert process.end() == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(start, number, await_true):
    process = start("memory://serving")
    process.says()
    process.tell("call")
    assert process.says() == "holding"

    def ended():
        # The kernel merges a signal that comes before the last one was handled.
        process.popen.send_signal(number)
        return process.popen.poll() is not None

    await_true(ended)

    assert process.end() == (128 + number, "")
    assert process.says() is None


def test_a_signal_ends_a_child_of_the_server_and_not_the_server(start):
    process = start("memory://serving")
    process.says()
    process.tell("fork")

    assert process.says() == str(-signal.SIGTERM)
    process.popen.send_signal(signal.SIGTERM)
    assert process.says() == "drained"
    assert process.end()[0] == 0


class Desk(Protocol):
    @method
    def ask(self, text: str) -> str: ...


class DeskImpl(Desk):
    def ask(self, text: str) -> str:
        return text


def test_outside_the_main_thread_serve_says_what_to_use(run_together):
    with pytest.raises(RuntimeError, match="needs the main thread; use Server here"):
        run_together(lambda: rpc.serve(DeskImpl(), transport="memory://never"))


def test_an_implementation_that_does_not_fit_is_told_first():
    class Empty(Desk):
        ask = None

    with pytest.raises(ContractError):
        rpc.serve(Empty(), transport="nonsense://")


def test_signal_handlers_are_put_back_and_options_passed_on(memory_url):
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def on_ready(server):
        seen.append((server.wait(0), signal.getsignal(signal.SIGTERM) is not before))
        server.ask_to_stop()

    rpc.serve(DeskImpl(), transport=memory_url, on_ready=on_ready, workers=1)

    assert seen == [(False, True)]
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_there_when_it_serves_is_frozen_until_it_returns(memory_url):
    frozen = threading.Event()

    def watch(server):
        while not gc.get_freeze_count():
            if server.wait(0.001):
                return
        frozen.set()
        server.ask_to_stop()

    rpc.serve(
        DeskImpl(),
        transport=memory_url,
        on_ready=lambda server: threading.Thread(target=watch, args=(server,)).start(),
    )

    assert frozen.is_set()
    assert gc.get_freeze_count() == 0


def test_a_server_that_cannot_go_on_raises_why(wire):
    wire.inbox.put(NotAuthorized("READ on Desk.requests was withdrawn"))
    with pytest.raises(NotAuthorized, match="was withdrawn"):
        rpc.serve(DeskImpl(), transport=wire)


# -- on a real broker ------------------------------------------------------------------------------


@pytest.fixture
def remote(bootstrap, topic_prefix):
    """A client of a service that server processes serve under a name of this test's own."""

    @service(name=topic_prefix)
    class Remote(Protocol):
        @method(timeout=60)
        def ask(self, text: str) -> str: ...

        @method(timeout=60)
        def hold(self) -> str: ...

    with rpc.Channel(f"kafka://{bootstrap}?client_id={topic_prefix}") as channel:
        yield rpc.Stub(Remote, channel=channel)


@pytest.mark.timeout(180)
def test_sigterm_drains_on_kafka_and_loses_no_call(remote, start, bootstrap, topic_prefix):
    url = f"kafka://{bootstrap}"
    first = start(url, topic_prefix, patience=60)
    assert first.says() == "ready"
    answer = remote.ask("first")
    held = remote.hold.future()
    assert first.says() == "holding"
    ask = remote.ask.with_options(wait_for_ready=True)  # for a while nobody serves
    calls = [ask.future(str(n)) for n in range(50)]
    first.popen.send_signal(signal.SIGTERM)
    calls += [ask.future(str(n)) for n in range(50, 100)]
    first.tell("go")

    assert answer == "FIRST"
    assert held.result(60) == "held"
    assert first.says() == "drained"
    assert first.end()[0] == 0
    second = start(url, topic_prefix, patience=60)
    assert second.says() == "ready"
    assert [call.result(60) for call in calls] == [str(n) for n in range(100)]
    second.popen.send_signal(signal.SIGTERM)
    assert second.says() == "drained"
    assert second.end()[0] == 0


@pytest.mark.timeout(180)
def test_a_second_signal_on_kafka_leaves_the_call_to_another_server(
    remote, start, bootstrap, topic_prefix, await_true
):
    url = f"kafka://{bootstrap}"
    first = start(url, topic_prefix, patience=60)
    assert first.says() == "ready"
    held = remote.hold.future()
    assert first.says() == "holding"

    def ended():
        first.popen.send_signal(signal.SIGTERM)
        return first.popen.poll() is not None

    await_true(ended)
    second = start(url, topic_prefix, patience=60)
    said = {second.says(), second.says()}
    second.tell("go")

    assert said == {"ready", "holding"}
    assert first.end()[0] == 128 + signal.SIGTERM
    assert held.result(60) == "held"
