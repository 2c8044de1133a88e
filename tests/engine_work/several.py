"""Several processes on one clock, with a database and a Redis that a test takes away from one or all of them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from engine.conditions import Conditions
from engine.errors import BrokerError, BrokerFull, BrokerUnavailable, LedgerError, ScheduleLost
from engine.keeper import Keeper
from engine.limits import Limits
from engine.memory_broker import MemoryBroker
from engine.memory_results import MemoryResults
from engine.messages import Lease, Outgoing, Status
from engine.ports import Broker, Epoch, Source
from engine.reconciler import Reconciler
from engine.replacements import Replacements
from engine.switched_broker import SharedSchedule, SwitchedBroker
from tests.engine_work.desk import UNLIMITED, ListLedger
from tests.fakes import Clock

LEASE_MS = 3_000
LEASING = {"lease", "recover"}


class Died(BaseException):
    """The process ends here."""


@dataclass
class World:
    """What all processes share. ``fuse``: after so many calls the process that makes the next one dies."""

    clock: Clock = field(default_factory=Clock)
    ledger: ListLedger = field(default_factory=ListLedger)
    limits: Limits = UNLIMITED
    number: int = 0
    source: Source = Source.REDIS
    begun_by: str = ""
    leader: str = ""
    redis: MemoryBroker | None = None
    redis_is_barred: bool = True
    redis_is_full: bool = False
    room: int = sys.maxsize
    """How many messages Redis can hold."""
    enforced: list[Limits] = field(default_factory=list)
    fuse: int | None = None
    cut_from_redis: set[str] = field(default_factory=set)
    cut_from_database: set[str] = field(default_factory=set)

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
    """Return what the books say."""
    return limits


@dataclass
class FakeEpochs:
    world: World
    name: str

    async def current(self) -> Epoch:
        self._reach()
        return Epoch(self.world.number, self.world.source, is_own=self.world.begun_by == self.name)

    async def advance(self, after: Epoch, source: Source) -> Epoch:
        self._reach()
        if after.number == self.world.number:
            self.world.number, self.world.source, self.world.begun_by = after.number + 1, source, self.name
        return await self.current()

    def _reach(self) -> None:
        self.world.burn()
        if self.name in self.world.cut_from_database:
            raise LedgerError("the database is away")


@dataclass
class FakeLeadership:
    world: World
    name: str
    had: bool = False

    async def leads(self) -> bool:
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


class FakeRedis:
    """What one process sees of the schedule in Redis."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name

    @property
    def incarnation(self) -> int:
        return self._world.redis.incarnation if self._world.redis else 0

    async def begin(self) -> None:
        self._reach()
        self._world.redis, self._world.redis_is_barred = self._world.memory(), True

    async def enforce(self, limits: Limits) -> bool:
        self._reach()
        is_new = self._world.enforced[-1:] != [limits]
        self._world.enforced.append(limits)
        return is_new

    async def wait(self, until_ms: int | None) -> None:
        await self._found().wait(until_ms)

    async def restore(self, *sends: Any, **more: Any) -> None:
        await self._found().restore(*sends, **more)
        self._world.redis_is_barred = False

    async def admit(self, messages: Any, *, slots: int, **more: Any) -> Any:
        found = self._found()
        if self._world.redis_is_full or await self._waiting(found) + max(1, len(messages)) > self._world.room:
            raise BrokerFull("Redis is full")
        if slots:
            self._insist_on_open()
        return await found.admit(messages, slots=slots, **more)

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        async def ask(*arguments: Any, **more: Any) -> Any:
            found = self._found()
            if verb in LEASING:
                self._insist_on_open()
            return await getattr(found, verb)(*arguments, **more)

        return ask

    def _reach(self) -> None:
        self._world.burn()
        if self._name in self._world.cut_from_redis:
            raise BrokerUnavailable("Redis cannot be reached")

    def _found(self) -> Broker:
        self._reach()
        if self._world.redis is None:
            raise ScheduleLost("Redis holds no schedule")
        return self._world.redis

    async def _waiting(self, found: Broker) -> int:
        return sum((await found.stats()).bots.values())

    def _insist_on_open(self) -> None:
        if self._world.redis_is_barred:
            raise ScheduleLost("the schedule in Redis is barred")


class FakeProcess:
    """One of them. Nothing runs by itself: a test calls ``look``, ``step`` and ``lease``."""

    def __init__(self, world: World, name: str, *, shares_books: bool = True, limits: Limits | None = None) -> None:
        self.world = world
        self.name = name
        self.conditions = Conditions(world.clock)
        self.redis = cast("SharedSchedule", FakeRedis(world, name))
        self.switch = SwitchedBroker(self.redis, self.conditions, lease_ms=LEASE_MS, clock=world.clock)
        self.leadership = FakeLeadership(world, name)
        replacements = Replacements(ledger=world.ledger, results=MemoryResults(), clock=world.clock, sleep=world.sleep)
        self.keeper = Keeper(
            switch=self.switch,
            redis=self.redis,
            memory=lambda _: world.memory(),
            epochs=FakeEpochs(world, name),
            leadership=self.leadership,
            ledger=world.ledger,
            replacements=replacements,
            reconciler=Reconciler(
                ledger=world.ledger,
                broker=self.switch,
                replacements=replacements,
                interval_ms=1_000,
                clock=world.clock,
            ),
            limits=partial(given, limits or world.limits),
            lease_ms=LEASE_MS,
            clock=world.clock,
            shares_books=shares_books,
            sleep=world.sleep,
        )

    async def look(self) -> None:
        """Read the epoch, as it does each second; if it can."""
        with contextlib.suppress(LedgerError):
            await self.keeper.look()

    async def step(self) -> None:
        with contextlib.suppress(BrokerError, LedgerError):  # the next goes on
            await self.keeper.step()

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
        self.world.ledger.messages[message.id] = message
        self.world.ledger.statuses[message.id] = Status.QUEUED
        with contextlib.suppress(BrokerUnavailable):  # the ledger has it
            await self.switch.admit([message], worker_id=self.name, slots=0)

    async def lease(self, slots: int = 50) -> list[Lease]:
        """Return what it may send; nothing if it is refused."""
        try:
            return list((await self.switch.lease(worker_id=self.name, slots=slots)).leases)
        except BrokerUnavailable:
            return []

    async def ids(self) -> list[str]:
        return [lease.message.id for lease in await self.lease()]
