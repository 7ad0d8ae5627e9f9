"""Does what a schedule says to processes, proxies and brokers, and sees that it happened.

Each fault is a generator: what stands before its `yield` breaks something, what stands after mends
it. It returns only when a probe has seen the fault bite; else it raises `Unobserved`, and the run
proves nothing. All faults are written down as `fault` events, `on` before the act.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chaos.child import Child
from chaos.cluster import ProxiedCluster
from chaos.fleet import Fleet, RunFailed, ready
from chaos.frames import Api
from chaos.history import Writer
from chaos.observation import Unobserved, pause, see
from chaos.proxy import Proxy
from chaos.rules import DOWN, UP, Rules
from chaos.schedule import BROKER, NETWORK, UPHEAVALS, Period, Step
from chaos.upheavals import Upheavals
from chaos.workload import TOPIC

__all__ = ["Nemesis"]

_PARTITIONS = 12  # of a request topic, as servers create it
_SHORT = 2.0
_LONG = 8.0  # seconds: longer than a session, so that a stopped server loses its partitions
_EXIT = 40.0

Fault = Iterator[None]


class Nemesis:
    """Breaks one run. One thread at a time."""

    def __init__(
        self, cluster: ProxiedCluster, fleet: Fleet, history: Writer, folder: Path
    ) -> None:
        self._cluster, self._fleet, self._history = cluster, fleet, history
        self._upheavals = Upheavals(cluster, fleet, folder)
        self._bites = folder / "failpoints.log"
        self.done: list[str] = []
        """The faults that were seen, in order."""

    def run(self, period: Period) -> None:
        """Break what `period` says, wait, and mend it. Raises `RunFailed`."""
        began = time.monotonic()
        with contextlib.ExitStack() as mending:
            for step in period.steps:
                mending.enter_context(self._fault(self._aimed(step)))
            pause(max(0.0, began + period.seconds - time.monotonic()))
        self._fleet.check()

    @contextlib.contextmanager
    def _fault(self, step: Step) -> Iterator[None]:
        act = _NETWORK.get(step.name)
        if act is not None:
            fault, args = self._network(step, act), {"broker": self._reach(step)}
        elif step.name in UPHEAVALS:
            fault, args = self._upheavals.begin(step)
        else:
            begin = getattr(self, "_" + step.name.replace("-", "_"))
            fault, args = begin(step), self._args(step)
        self._history.write("fault", name=step.name, phase="on", args=args)
        try:
            next(fault)
            yield
            with contextlib.suppress(StopIteration):
                next(fault)
        finally:
            self._history.write("fault", name=step.name, phase="off", args=args)
        self.done.append(step.name)

    # -- who is meant --------------------------------------------------------------------------

    def _aimed(self, step: Step) -> Step:
        """Aim what concerns a broker at one that matters: a leader, or the group's coordinator."""
        if step.name not in (*NETWORK, *BROKER):
            return step
        if step.name in BROKER and step.target % 2:
            index = self._cluster.coordinator(TOPIC)
        else:
            index = self._cluster.leader(TOPIC, step.target % _PARTITIONS)
        return step if index is None else step._replace(target=index)

    def _server(self, step: Step) -> int:
        return step.target % len(self._fleet.servers)

    def _client(self, step: Step) -> int:
        return step.target % len(self._fleet.clients)

    def _broker(self, step: Step) -> int:
        return step.target % len(self._cluster.nodes)

    def _reach(self, step: Step) -> str:
        return "all" if step.everywhere else str(self._broker(step))

    def _args(self, step: Step) -> dict[str, Any]:
        if step.name.endswith("client"):
            return {"pid": self._fleet.clients[self._client(step)].pid}
        if step.name.endswith("broker"):
            return {
                "broker": self._broker(step),
                "pid": self._cluster.nodes[self._broker(step)].pid,
            }
        if step.name in {"rolling-restart", "rebalance-storm"}:
            return {}
        return {"pid": self._fleet.servers[self._server(step)].pid, "detail": step.detail}

    # -- processes -----------------------------------------------------------------------------

    def _kill_server(self, step: Step) -> Fault:
        index = self._server(step)
        self._killed(self._fleet.servers[index])
        yield
        self._fleet.replace(self._fleet.servers, index, self._fleet.server)

    def _kill_client(self, step: Step) -> Fault:
        index = self._client(step)
        self._killed(self._fleet.clients[index])
        self._fleet.replace(self._fleet.clients, index, self._fleet.client)
        yield

    def _terminate_server(self, step: Step) -> Fault:
        index = self._server(step)
        self._stopped_in_order(self._fleet.servers[index])
        yield
        self._fleet.replace(self._fleet.servers, index, self._fleet.server)

    def _rolling_restart(self, _: Step) -> Fault:
        for index in range(len(self._fleet.servers)):
            following = ready(self._fleet.server(self._fleet.servers[index].number))
            self._stopped_in_order(self._fleet.servers[index])
            self._fleet.servers[index].kill()
            self._fleet.servers[index] = following
        yield

    def _sigstop_server_short(self, step: Step) -> Fault:
        with self._frozen(step):
            pause(_SHORT)
        yield

    def _sigstop_server_long(self, step: Step) -> Fault:
        began = time.monotonic()
        with self._frozen(step):
            yield
            pause(max(0.0, began + _LONG - time.monotonic()))

    @contextlib.contextmanager
    def _frozen(self, step: Step) -> Iterator[None]:
        child = self._fleet.servers[self._server(step)]
        child.signal(signal.SIGSTOP)
        try:
            see(lambda: child.state == "T", f"{step.name}: pid {child.pid} is not stopped")
            yield
        finally:
            child.signal(signal.SIGCONT)

    def _rebalance_storm(self, _: Step) -> Fault:
        for number in range(3):
            passing = ready(self._fleet.server(100 + number))
            self._stopped_in_order(passing)
            passing.kill()
        yield

    def _failpoint(self, step: Step) -> Fault:
        index = self._server(step)
        self._stopped_in_order(self._fleet.servers[index])
        armed = {
            "RPC_FAILPOINTS": step.detail,
            "RPC_FAILPOINTS_LOG": str(self._bites),
        }
        self._fleet.servers[index].kill()
        dying = self._fleet.server(self._fleet.servers[index].number, armed)
        self._fleet.servers[index] = dying  # it may die before it is ready
        see(lambda: not dying.running, f"failpoint {step.detail} did not bite", 30.0)
        point = step.detail.partition(":")[0]
        if f"{dying.pid} {point} kill\n" not in _text(self._bites):
            raise Unobserved(f"failpoint {step.detail}: pid {dying.pid} died of something else")
        self._history.write("fault", name="crash-server", phase="on", args={"pid": dying.pid})
        yield
        self._history.write("fault", name="crash-server", phase="off", args={"pid": dying.pid})
        self._fleet.replace(self._fleet.servers, index, self._fleet.server)

    def _killed(self, child: Child) -> None:
        child.signal(signal.SIGKILL)
        if child.wait(10) != -signal.SIGKILL:
            raise Unobserved(f"pid {child.pid} was not killed")

    def _stopped_in_order(self, child: Child) -> None:
        child.signal(signal.SIGTERM)
        code = child.wait(_EXIT)
        if code != 0:
            raise RunFailed(f"{child.module} {child.number} ended with {code} on SIGTERM")

    # -- brokers -------------------------------------------------------------------------------

    def _kill_broker(self, step: Step) -> Fault:
        yield from self._broker_down(step, self._cluster.kill)

    def _terminate_broker(self, step: Step) -> Fault:
        yield from self._broker_down(step, self._cluster.terminate)

    def _broker_down(self, step: Step, end: Callable[[int], None]) -> Fault:
        index = self._broker(step)
        end(index)
        if self._cluster.nodes[index].running:
            raise Unobserved(f"{step.name}: broker {index} still runs")
        if len(self._cluster.nodes) > 1:
            yield
        self._cluster.restart(index)
        if len(self._cluster.nodes) == 1:
            yield

    def _sigstop_broker(self, step: Step) -> Fault:
        index = self._broker(step)
        state = Path(f"/proc/{self._cluster.nodes[index].pid}/stat")
        self._cluster.pause(index)
        try:
            see(lambda: ") T " in state.read_text("ascii"), f"broker {index} is not stopped")
            yield
        finally:
            self._cluster.resume(index)

    # -- the network ---------------------------------------------------------------------------

    def _network(self, step: Step, act: tuple[Rules, str, bool]) -> Fault:
        rules, bite, cut = act
        proxies = self._cluster.proxies
        meant = list(proxies) if step.everywhere else [proxies[self._broker(step)]]
        before = sum(proxy.bites[bite] for proxy in meant)
        try:
            for proxy in meant:
                proxy.set(rules)
                if cut:
                    proxy.cut()
            see(lambda: self._bitten(meant, bite) > before, f"{step.name} did not bite", 10.0)
            yield
        finally:
            for proxy in meant:
                proxy.heal()

    @staticmethod
    def _bitten(proxies: list[Proxy], bite: str) -> int:
        return sum(proxy.bites[bite] for proxy in proxies)


_NETWORK: dict[str, tuple[Rules, str, bool]] = {
    "delay": (Rules(delay=0.1, jitter=0.08), "delay", False),
    "throttle": (Rules(rate=64_000), "rate", False),
    "cut": (Rules(), "cut", True),
    "blackhole-up": (Rules(blackhole=frozenset({UP})), "blackhole", False),
    "blackhole-down": (Rules(blackhole=frozenset({DOWN})), "blackhole", False),
    "half-open": (Rules(half_open=True), "half_open", True),
    "slice": (Rules(slice=40), "slice", False),
    "corrupt": (Rules(corrupt=0.02), "corrupt", False),
    "hold-produce": (Rules(hold=frozenset({(UP, Api.PRODUCE)})), "hold", False),
    "hold-fetch": (Rules(hold=frozenset({(DOWN, Api.FETCH)})), "hold", False),
    "lose-acknowledgements": (
        Rules(drop=frozenset({(DOWN, Api.PRODUCE)}), drop_share=0.05),
        "drop",
        False,
    ),
    "lose-requests": (Rules(drop=frozenset({(UP, Api.PRODUCE)}), drop_share=0.05), "drop", False),
}
"""Rules, the bite that shows them, and whether connections are cut so that new ones meet them."""


def _text(path: Path) -> str:
    return path.read_text("ascii") if path.exists() else ""
