"""Several processes on one clock, with a database and a Redis that a test takes away from one or all of them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.brokers.redis.keys import SCHEMA
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.failover import failover
from tempogram.engine.failover.failover_broker import SharedQueue
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.errors import BrokerError, BrokerFull, BrokerUnavailable, LedgerError, QueueLost
from tempogram.engine.model.messages import Lease, Outgoing
from tempogram.engine.ports import Broker, Epoch, LeaseSource
from tempogram.engine.resilience.conditions import Conditions
from tempogram.storage.ledger.memory_ledger import MemoryLedger
from tests.engine.desk import UNLIMITED
from tests.fakes import Clock

LEASE_MS = 3_000
LEASING = {"lease", "recover"}


class Died(BaseException):
    """The process ends here."""


@dataclass
class World:
    """What all processes share. ``fuse``: after so many calls the process that makes the next one dies."""

    clock: Clock = field(default_factory=Clock)
    limits: Limits = UNLIMITED
    number: int = 0
    source: LeaseSource = LeaseSource.REDIS
    schema: int = SCHEMA
    bypassed: int = 0
    begun_by: str = ""
    leader: str = ""
    alive: set[int] = field(default_factory=set)
    """The numbers of the processes that live."""
    born: int = 0
    checks_for_deaths: int = 0
    queues: dict[int, MemoryBroker] = field(default_factory=dict)
    """What Redis holds, by schema."""
    barred: set[int] = field(default_factory=lambda: {SCHEMA})
    redis_is_full: bool = False
    room: int = sys.maxsize
    """How many messages Redis can hold."""
    enforced: list[Limits] = field(default_factory=list)
    fuse: int | None = None
    cut_from_redis: set[str] = field(default_factory=set)
    ledger: MemoryLedger = field(init=False)
    redis_is_silent_for_ms: int = 0  # before a process that is cut from it knows
    cut_from_database: set[str] = field(default_factory=set)
    clock_off_of: str = ""
    """The process that finds the time of the queue far from its own."""

    def __post_init__(self) -> None:
        self.ledger = MemoryLedger(self.clock)

    @property
    def redis(self) -> MemoryBroker | None:
        return self.queues.get(SCHEMA)

    @redis.setter
    def redis(self, queue: MemoryBroker | None) -> None:
        self.queues.pop(SCHEMA, None)
        if queue is not None:
            self.queues[SCHEMA] = queue

    @property
    def redis_is_barred(self) -> bool:
        return SCHEMA in self.barred

    @redis_is_barred.setter
    def redis_is_barred(self, is_barred: bool) -> None:
        (self.barred.add if is_barred else self.barred.discard)(SCHEMA)

    def burn(self) -> None:
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                self.fuse = None
                raise Died

    def memory(self) -> MemoryBroker:
        return MemoryBroker(self.limits, clock=self.clock, lease_ms=LEASE_MS)

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(round(seconds * 1_000))
        await asyncio.sleep(0)


async def given(limits: Limits) -> Limits:
    """Return the limits in force."""
    return limits


@dataclass
class FakeEpochs:
    world: World
    name: str

    async def current(self) -> Epoch:
        self._check_reachable()
        world = self.world
        is_own = world.begun_by == self.name
        return Epoch(world.number, world.source, world.schema, is_own=is_own, bypassed=world.bypassed)

    async def advance(self, after: Epoch, source: LeaseSource, *, schema: int) -> Epoch:
        self._check_reachable()
        if after.number == self.world.number:
            self.world.number, self.world.source, self.world.begun_by = after.number + 1, source, self.name
            self.world.schema = schema
        return await self.current()

    are_announced = False

    async def next(self, *, within_s: float) -> None:
        raise NotImplementedError

    async def bypass(self, epoch: Epoch) -> None:
        self._check_reachable()
        if epoch.number == self.world.number:
            self.world.bypassed += 1

    def _check_reachable(self) -> None:
        self.world.burn()
        if self.name in self.world.cut_from_database:
            raise LedgerError("the database is away")


@dataclass
class FakeLeadership:
    world: World
    name: str
    had: bool = False

    async def leads(self, *, surely: bool = False) -> bool:
        self.world.burn()
        has = self.world.leader == self.name and self.name not in self.world.cut_from_database
        if not has and not self.had and not self.world.leader and self.name not in self.world.cut_from_database:
            self.world.leader, has = self.name, True
        self.had = has
        return has

    async def resign(self) -> None:
        self.had = False
        if self.world.leader == self.name:
            self.world.leader = ""


@dataclass
class FakeMembers:
    world: World
    name: str

    async def alive(self) -> frozenset[int]:
        self.world.burn()
        if self.name in self.world.cut_from_database:
            raise LedgerError("the database is away")
        self.world.checks_for_deaths += 1
        return frozenset(self.world.alive)


class FakeRedis:
    """What one process sees of the queue in Redis, or of one that it has begun (``meant``)."""

    def __init__(self, world: World, name: str, schema: int, meant: MemoryBroker | None = None) -> None:
        self._world = world
        self._name = name
        self.schema = schema
        self._meant = meant

    @property
    def is_off_clock(self) -> bool:
        return self._world.clock_off_of == self._name

    @property
    def incarnation(self) -> int:
        queue = self._world.queues.get(self.schema)
        return queue.incarnation if queue else 0

    async def begin(self) -> FakeRedis:
        self._check_reachable()
        world, begun = self._world, self._world.memory()
        world.clock_off_of = world.clock_off_of if world.clock_off_of != self._name else ""
        world.queues = {schema: each for schema, each in world.queues.items() if schema > self.schema}
        world.queues[self.schema] = begun
        world.barred.add(self.schema)
        return FakeRedis(world, self._name, self.schema, begun)

    async def enforce(self, limits: Limits) -> bool:
        self._check_reachable()
        is_new = self._world.enforced[-1:] != [limits]
        self._world.enforced.append(limits)
        return is_new

    async def probe(self) -> None:
        self._found()
        self._check_open()

    async def wait(self, until_ms: int | None) -> None:
        await self._found().wait(until_ms)

    async def restore(self, *sends: Any, **more: Any) -> None:
        await self._found().restore(*sends, **more)
        self._world.barred.discard(self.schema)

    async def admit(self, messages: Any, *, slots: int, **more: Any) -> Any:
        found = self._found()
        if self._world.redis_is_full or await self._waiting(found) + max(1, len(messages)) > self._world.room:
            raise BrokerFull("Redis is full")
        if slots:
            self._check_open()
        return await found.admit(messages, slots=slots, **more)

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        async def ask(*arguments: Any, **more: Any) -> Any:
            found = self._found()
            if verb in LEASING:
                self._check_open()
            return await getattr(found, verb)(*arguments, **more)

        return ask

    def _check_reachable(self) -> None:
        self._world.burn()
        if self._name in self._world.cut_from_redis:
            self._world.clock.advance(self._world.redis_is_silent_for_ms)
            raise BrokerUnavailable("Redis cannot be reached")

    def _found(self) -> Broker:
        self._check_reachable()
        found = self._world.queues.get(self.schema)
        if found is None or self._meant not in {None, found}:
            raise QueueLost("Redis holds no queue, or another")
        return found

    async def _waiting(self, found: Broker) -> int:
        return sum((await found.stats()).bots.values())

    def _check_open(self) -> None:
        if self.schema in self._world.barred:
            raise QueueLost("the queue in Redis is barred")


class FakeProcess:
    """One of them. Nothing runs by itself: a test calls ``look``, ``step`` and ``lease``."""

    def __init__(
        self,
        world: World,
        name: str,
        *,
        shares_ledger: bool = True,
        limits: Limits | None = None,
        schema: int = SCHEMA,
    ) -> None:
        self.world = world
        self.name = name
        self.number = world.born = world.born + 1
        world.alive.add(self.number)
        self.conditions = Conditions(world.clock)
        self.redis = cast("SharedQueue", FakeRedis(world, name, schema))
        self.leadership = FakeLeadership(world, name)
        built = failover.build(
            self.redis,
            lambda _: world.memory(),
            failover.Coordination(
                epochs=FakeEpochs(world, name),
                leadership=self.leadership,
                members=FakeMembers(world, name),
                shares_ledger=shares_ledger,
            ),
            ledger=world.ledger,
            results=MemoryResults(),
            limits=partial(given, limits or world.limits),
            lease_ms=LEASE_MS,
            clock=world.clock,
            conditions=self.conditions,
            sleep=world.sleep,
        )
        self.broker, self.leader = built.broker, built.leader

    def die(self) -> None:
        self.world.alive.discard(self.number)
        if self.world.leader == self.name:
            self.world.leader = ""

    async def look(self) -> None:
        """Read the epoch, and ask for what it misses, as it does each second; if it can."""
        with contextlib.suppress(LedgerError, BrokerUnavailable):
            await self.leader.watch()
            await self.leader.probe()

    async def step(self) -> None:
        with contextlib.suppress(BrokerError, LedgerError):  # the next goes on
            await self.leader.step()

    async def steps(self, *others: FakeProcess, for_ms: int, every_ms: int = 500) -> None:
        """Let this process and others do what they do, for a time."""
        until_ms = self.world.clock() + for_ms
        while self.world.clock() < until_ms:
            for each in (self, *others):
                await each.look()
                await each.step()
            self.world.clock.advance(every_ms)
        for each in (self, *others):
            await each.look()

    async def accept(self, message: Outgoing) -> None:
        """Take a message in as the dispatcher does."""
        await self.world.ledger.add([message])
        with contextlib.suppress(BrokerUnavailable):  # the ledger has it
            await self.broker.admit([message], worker_id=self.name, slots=0)

    async def lease(self, slots: int = 50) -> list[Lease]:
        """Return what it may send; nothing if it is refused."""
        try:
            return list((await self.broker.lease(worker_id=self.name, slots=slots)).leases)
        except BrokerUnavailable:
            return []

    async def ids(self) -> list[str]:
        return [lease.message.id for lease in await self.lease()]
