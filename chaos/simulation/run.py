"""One run of one seed: the real channels and servers on a virtual broker, broken by lot."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple
from unittest import mock

from chaos.checker import Expectations, Run, Violation, check
from chaos.mutants import MUTANTS
from chaos.simulation.actors import LIMIT, Client, Server
from chaos.simulation.broker import Broker
from chaos.simulation.transport import Trouble
from chaos.simulation.world import World
from chaos.truth import Record, Truth
from transports.kafka.ledger import read

__all__ = ["Outcome", "simulate"]

CLIENTS, SERVERS, PARTITIONS = 3, 3, 4
SPAN = 25.0
"""Seconds of virtual time in which calls are made and things go wrong."""
LAST_BREAK = SPAN - 6.0
HEAL = 14.0
"""Seconds after the last fault in which all must be well: a session, a handover, a deadline."""
TAIL = 5
_TICK = 0.1
_PATIENCE = 60.0


class Outcome(NamedTuple):
    """What came of one seed."""

    seed: int
    violations: list[Violation]
    trace: str
    """Equal in two runs of one seed."""
    run: Run


def simulate(seed: int, *, calls: int = 200, mutant: str | None = None) -> Outcome:
    """Run `seed` with about so many calls, and check what it left."""
    with ExitStack() as stack:
        if mutant is not None:
            stack.enter_context(MUTANTS[mutant].planted())
        world = World(seed)
        stack.enter_context(_drawn_from(world))
        story = _Story(world, calls)
        story.play()
    run = story.witnesses()
    return Outcome(seed, check(run), world.trace(), run)


@contextmanager
def _drawn_from(world: World) -> Iterator[None]:
    """Let ids come from the seed too."""
    draw = world.random.randbytes
    with (
        mock.patch.object(secrets, "token_bytes", lambda size=32: draw(size)),
        mock.patch.object(secrets, "token_hex", lambda size=32: draw(size).hex()),
    ):
        yield


class _Story:
    def __init__(self, world: World, calls: int) -> None:
        self.world = world
        self.broker = Broker(world, PARTITIONS)
        self.clients = [Client(self.broker, number) for number in range(CLIENTS)]
        self.servers = [Server(self.broker, number) for number in range(SERVERS)]
        self.gone: list[Client | Server] = []
        self._calls = calls
        self._healed = SPAN

    def play(self) -> None:
        """Make the calls, break things, heal, make the last calls, and let all of it end."""
        world = self.world
        for server in self.servers:
            server.start()
        for _ in range(self._calls):
            at = world.random.uniform(0.5, SPAN)
            number = world.random.randrange(CLIENTS)
            world.later(at, lambda number=number: self.clients[number].invoke())
        if not world.chance(0.25):
            for _ in range(world.random.randint(1, 5)):
                world.later(world.random.uniform(1.0, LAST_BREAK), self._break)
        world.later(SPAN, self._heal)
        for number in range(CLIENTS):
            for turn in range(TAIL):
                at = SPAN + HEAL + turn * 0.2
                world.later(at, lambda number=number: self.clients[number].invoke(last=True))
        self._keep_looking()
        self._go_on(SPAN + HEAL + 2.0)

    def _keep_looking(self) -> None:
        self.broker.look()
        for actor in (*self.clients, *self.servers, *self.gone):
            actor.tick()
        self.world.later(_TICK, self._keep_looking)

    def _go_on(self, span: float) -> None:
        world = self.world
        begin = world.clock()
        while not (world.clock() - begin > span and self._done()):
            if world.clock() - begin > span + _PATIENCE:
                return  # the checker will say what is missing
            ready = [actor for actor in (*self.clients, *self.servers, *self.gone) if actor.ready]
            if ready and not world.chance(0.15):
                world.random.choice(ready).step()
            else:
                world.advance()

    def _done(self) -> bool:
        if any(client.open for client in self.clients) or any(
            server.open for server in self.servers
        ):
            return False
        return all(
            share.committed == len(log)
            for name, topic in self.broker.topics.items()
            if name.endswith(".requests")
            for share, log in zip(topic.shares, topic.logs, strict=True)
        )

    # -- what goes wrong -------------------------------------------------------------------------

    def _break(self) -> None:
        lot = self.world.random
        lot.choice(
            (
                self._kill_server,
                self._kill_server,
                self._kill_client,
                self._stop_server,
                self._stop_server,
                self._drain_server,
                self._work_long,
                self._work_long,
                self._lose_leaders,
                self._trouble,
                self._trouble,
                self._burst,
                self._burst,
                self._overwhelm,
                self._overwhelm,
            )
        )()

    def _kill_server(self) -> None:
        number = self.world.random.randrange(SERVERS)
        server = self.servers[number]
        server.process.fuse = self.world.random.randint(1, 40)
        server.process.on_death = lambda: self._replace_server(server)

    def _replace_server(self, server: Server) -> None:
        if server in self.servers:
            number = self.servers.index(server)
            self.gone.append(server)
            self.servers[number] = fresh = Server(self.broker, number)
            self.world.later(self.world.random.uniform(0.5, 5.0), fresh.start)

    def _kill_client(self) -> None:
        number = self.world.random.randrange(CLIENTS)
        self.clients[number].process.die()
        self.clients[number] = Client(self.broker, number)

    def _stop_server(self) -> None:
        server = self.world.random.choice(self.servers)
        if server.process.runs:
            server.process.stop_for(self.world.random.choice((0.5, 2.0, 9.0)))

    def _drain_server(self) -> None:
        server = self.world.random.choice(self.servers)
        if server.process.runs and server.started:
            server.drain()
            self._replace_server(server)

    def _work_long(self) -> None:
        """Let a handler take long, wherever there is one, while others are done behind it."""
        server = self.world.random.choice(self.servers)
        lasts = self.world.random.uniform(1.0, 5.0)
        server.take_long(lasts)
        for client in self.clients:
            for _ in range(5):
                client.invoke()
        if self.world.chance(0.7):
            self._end_once_noted(server, self.world.clock() + lasts)

    def _end_once_noted(self, server: Server, until: float) -> None:
        """Kill a server once it has noted as settled what stands behind something that is not."""
        notes = [
            read(share.committed, share.text)
            for topic in self.broker.topics.values()
            for share in topic.shares
            if share.owner in server.transport.receivers
        ]
        if any(note is not None and note.settled for note in notes):
            self._kill(server)
        elif self.world.clock() < until:
            self.world.later(0.05, lambda: self._end_once_noted(server, until))

    def _lose_leaders(self) -> None:
        lasts = self.world.random.uniform(0.5, 6.0)
        self._fault("leaders", lasts)
        for topic in self.broker.topics.values():
            partition = self.world.random.randrange(PARTITIONS)
            topic.leaderless[partition] = self.world.clock() + lasts

    def _trouble(self) -> None:
        lasts = self.world.random.uniform(1.0, 6.0)
        self._fault("trouble", lasts)
        trouble = Trouble(*(self.world.random.uniform(0.0, 0.25) for _ in Trouble._fields))
        actors = [*self.clients, *self.servers]
        for actor in actors:
            actor.transport.trouble = trouble

        def over() -> None:
            for actor in actors:
                actor.transport.trouble = Trouble()

        self.world.later(lasts, over)

    def _burst(self) -> None:
        """Let more be asked for at once than is done at once."""
        self._fault("burst", 0.5)
        for client in self.clients:
            for _ in range(self.world.random.randint(5, 20)):
                client.invoke()

    def _overwhelm(self) -> None:
        """Kill a server a moment after it was asked for more than it does."""
        self._burst()
        server = self.world.random.choice(self.servers)
        self.world.later(self.world.random.uniform(0.01, 0.15), lambda: self._kill(server))

    def _kill(self, server: Server) -> None:
        server.process.on_death = lambda: self._replace_server(server)
        server.process.die()

    def _fault(self, name: str, lasts: float) -> None:
        note = self.world.note
        note("nemesis-0-1", "fault", name=name, phase="on", args={})
        self.world.later(
            lasts, lambda: note("nemesis-0-1", "fault", name=name, phase="off", args={})
        )

    def _heal(self) -> None:
        for server in self.servers:
            server.process.fuse = None

    # -- what is left ----------------------------------------------------------------------------

    def witnesses(self) -> Run:
        """Return everything that was written down, for the checker."""
        records: list[Record] = []
        committed: dict[tuple[str, int], int] = {}
        for name, topic in self.broker.topics.items():
            for number, log in enumerate(topic.logs):
                if topic.shares[number].owner is not None:
                    committed[name, number] = topic.shares[number].committed
                for message, receipt, _ in (stored for record in log for stored in record):
                    headers = dict(message.headers)
                    kind = headers.get("rpc-kind", b"").decode()
                    call = headers.get("kafka_correlationId", b"").hex()
                    client = headers.get("rpc-client", b"").decode()
                    records.append(
                        Record(
                            receipt.topic,
                            receipt.partition,
                            receipt.offset,
                            kind,
                            call,
                            client,
                            receipt.part,
                        )
                    )
        expect = Expectations(
            epsilon=0.5,
            skew=0.05,
            grace=15.0,
            heal=HEAL,
            tail=TAIL,
            session=12.0,
            durable_dedup=False,
            topics=["Work.", "rpc.replies."],
            bounds={"started": LIMIT},
            min_calls=self._calls // 2,
            min_ok=0.2,
        )
        return Run(
            self.world.events,
            effects=self.world.effects,
            truth=Truth(records, committed),
            expect=expect,
        )
