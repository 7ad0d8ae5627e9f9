"""After a fork: what was open is refused at once, what is shared by default is opened anew."""

import pytest

FORKED = """
import multiprocessing
import os
import threading
import time
from typing import Protocol

import rpc
import rpc.rare
import rpc.stub


class Echo(Protocol):
    @rpc.method
    def say(self, text: str) -> str: ...


class EchoImpl(Echo):
    def say(self, text: str) -> str:
        return text


os.environ["RPC_TRANSPORT"] = "memory://parent"
server = rpc.Server(EchoImpl()).start()
client = rpc.Stub(Echo)
bound = client.say.with_options(timeout=10)
assert client.say("before") == "before"


def refused(work):
    try:
        return f"nothing: {work()}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def in_child():
    os.environ["RPC_TRANSPORT"] = "memory://child"
    with rpc.Server(EchoImpl()):
        call = bound.future("anew")
        print("stub", client.say("anew"), call.sent.result(5) and call.result())
    print("wait", refused(lambda: server.wait(1)))
    print("start", refused(server.start))
    print("stop", server.stop())
    print(flush=True)
"""
PRINTED = [
    "stub anew anew",
    "wait RuntimeError: the server was made before a fork; make another in the child",
    "start RuntimeError: the server was started before; make another",
    "stop 0",
    "",
    "parent after 0",
]
ENDS = {
    "os.fork": """
began = time.monotonic()
child = os.fork()
if not child:
    in_child()
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
""",
    "multiprocessing": """
began = time.monotonic()
child = multiprocessing.get_context("fork").Process(target=in_child)
child.start()
child.join()
code = child.exitcode
""",
    **{
        f"while a thread {does}": f"""
held = threading.Event()
def hold():
    with {lock}:
        held.set()
        time.sleep(1)  # as long as the fork may take on a busy machine
holder = threading.Thread(target=hold)
holder.start()
held.wait()
began = time.monotonic()
child = os.fork()
if not child:
    in_child()
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
holder.join()
"""
        for does, lock in {
            "opens the channel": "rpc.stub._default.lock",
            "asks where a request stands": "rpc.rare.few.lock",
        }.items()
    },
}
AFTER = """
assert time.monotonic() - began < 5, "nothing may wait for what is not there"
print("parent", client.say("after"), code)
server.stop()
"""


@pytest.mark.parametrize("how", ENDS)
def test_a_child_opens_its_own_channel_and_leaves_its_parents_server_alone(how, run_script):
    ran = run_script(FORKED + ENDS[how] + AFTER, forks=True)

    assert (ran.stdout.splitlines(), ran.stderr) == (PRINTED, "")
