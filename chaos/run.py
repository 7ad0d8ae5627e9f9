"""One run: brokers, servers and clients; faults by a schedule; healing, draining, final reads."""

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chaos.checker import Expectations
from chaos.cluster import ProxiedCluster
from chaos.fleet import Fleet, ended_in_order
from chaos.history import Writer
from chaos.nemesis import Nemesis
from chaos.observation import pause
from chaos.poison import Poison
from chaos.schedule import Period, schedule
from chaos.truth import all_topics, read_truth, save_truth
from chaos.workload import TOPIC

__all__ = ["Plan", "execute"]

_WARM = 3.0
_POISON = 2.0  # records of nonsense a second


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run; the same plan gives the same schedule of faults."""

    brokers: int = 1
    seconds: float = 60.0
    rate: float = 100.0
    """Calls a second of all clients together."""
    seed: int = 0
    servers: int = 3
    clients: int = 3
    tail: float = 10.0
    """Seconds of calls after the last fault."""
    only: tuple[str, ...] = ()
    """The faults to choose from; none: all."""
    must_succeed: tuple[str, ...] = ()
    """Methods of which no call may fail."""
    skew: float = 0.0
    """Seconds by which the wall clocks of clients are ahead of the brokers', those of servers
    behind."""
    settings: tuple[str, ...] = ()
    """Of the transport of servers and clients, as `name=value`."""

    @property
    def periods(self) -> tuple[Period, ...]:
        """When which faults come."""
        return schedule(self.seed, self.seconds, brokers=self.brokers, only=self.only)

    @property
    def rest(self) -> float:
        """Seconds of calls after the last fault: after an overload, also to see it over."""
        flooded = any(step.name == "overload" for period in self.periods for step in period.steps)
        return self.tail + (Expectations().recovery if flooded else 0.0)

    @property
    def command(self) -> str:
        """The line that repeats this run."""
        only = "".join(f" --only {name}" for name in self.only)
        only += "".join(f" --must-succeed {name}" for name in self.must_succeed)
        only += f" --skew {self.skew:g}" if self.skew else ""
        only += "".join(f" --setting {one}" for one in self.settings)
        return (
            f"python -m chaos --brokers {self.brokers} --minutes {self.seconds / 60:g} "
            f"--rate {self.rate:g} --seed {self.seed}{only}"
        )


def execute(plan: Plan, folder: Path, told: Callable[[str], object]) -> None:
    """Do what `plan` says and leave its witnesses in `folder`. Raises `RunFailed`.

    `told` gets a line for each thing that begins. Every process that was started has ended when
    this returns or raises.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with ExitStack() as ending:
        history = Writer(folder, "nemesis", 0)
        ending.callback(history.close)
        told(f"{plan.brokers} broker(s), {plan.servers} servers, {plan.clients} clients")
        cluster = ending.enter_context(ProxiedCluster(plan.brokers, seed=plan.seed))
        fleet = Fleet(
            folder,
            cluster.bootstrap,
            rate=plan.rate,
            clients=plan.clients,
            seed=plan.seed,
            skew=plan.skew,
            settings=plan.settings,
        )
        ending.callback(fleet.close)
        fleet.start(plan.servers, plan.clients)
        nemesis = Nemesis(cluster, fleet, history, folder)
        began = time.monotonic()
        with Poison(cluster.direct, _POISON, plan.seed) as poison:
            pause(_WARM)
            for period in plan.periods:
                names = ", ".join(step.name for step in period.steps) or "nothing"
                told(f"{time.monotonic() - began:6.1f} s  {names}")
                nemesis.run(period)
            told(f"{time.monotonic() - began:6.1f} s  healed")
            pause(plan.rest)
        fleet.check()
        ended_in_order(fleet.clients)
        ended_in_order(fleet.servers)
        told(f"{time.monotonic() - began:6.1f} s  drained; {poison.written} records of nonsense")
        topics = all_topics(cluster.direct)
        save_truth(read_truth(cluster.direct, topics, {TOPIC: TOPIC}), folder / "truth.json")
    expect = _expectations(plan, nemesis.done)
    (folder / "run.json").write_bytes(msgspec.json.encode(expect))


def _expectations(plan: Plan, done: list[str]) -> Expectations:
    return Expectations(
        epsilon=1.0,
        faults=sorted({step.name for period in plan.periods for step in period.steps} | set(done)),
        min_calls=int(plan.seconds * plan.rate / 2),
        min_ok=0.5,
        bounds={"pending": 20_000, "in_flight": 5_200, "threads": 200, "fds": 400},
        slopes={"threads": 20, "fds": 40, "rss": 64 << 20} if plan.seconds >= 600 else {},
    )
