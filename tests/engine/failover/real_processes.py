"""Processes that share one ledger and one Redis, put together as the program does it, and sending to one Telegram."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.brokers.redis.broker import RedisBroker
from tempogram.engine.brokers.redis.clock_gap import ClockGap
from tempogram.engine.brokers.redis.keys import SCHEMA
from tempogram.engine.channels.memory_changes import MemoryChanges
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.closing.reachability import Reachability
from tempogram.engine.dispatcher import Dispatcher
from tempogram.engine.failover import catch_up, dead_processes, failover, leader, leader_election, standalone_mode
from tempogram.engine.failover.failover_broker import FailoverBroker
from tempogram.engine.failover.leader import Leader
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Lease
from tempogram.engine.model.outcomes import Answer, Overdue, Sent
from tempogram.engine.observability.metrics import Metrics
from tempogram.engine.ports import Clock, MayWrite, SystemClock
from tempogram.engine.recovery.pending_admissions import PendingAdmissions
from tempogram.engine.resilience.backoff import RetryPolicy
from tempogram.engine.resilience.circuit_breaker import CircuitBreaker
from tempogram.engine.resilience.conditions import Conditions
from tempogram.engine.sending.delivery import Delivery
from tempogram.engine.sending.recoverer import Recoverer
from tempogram.engine.sending.worker import Worker
from tempogram.storage.database.database import Database
from tempogram.storage.ledger.ledger import SqlLedger
from tempogram.storage.processes.epochs import SqlEpochs
from tempogram.storage.processes.leadership import LEADER_LOCK, leadership
from tempogram.storage.processes.membership import SqlMembership, membership
from tests.engine.desk import UNLIMITED
from tests.engine.failover.fake_processes import given
from tests.engine.redis_server import connected
from tests.fakes import outgoing

LEASE_MS = 1_000

PATIENCE_S = 120.0
"""Long enough for a machine that does much else; a test ends as soon as what it waits for holds."""


@dataclass
class Telegram:
    """Takes ``takes_s`` for a call, and remembers the worker that made it.

    ``overdue`` counts the calls that were not made, as their leases had ended: 0 where no lease may end.
    """

    clock: Clock
    takes_s: float = 0.005
    sent: list[tuple[str, str]] = field(default_factory=list)
    """The worker's id, and the message's."""
    overdue: int = 0

    async def send(self, lease: Lease, may_write: MayWrite) -> Answer:
        if not may_write():
            self.overdue += 1
            return Answer(Overdue(), counted_at_ms=None)
        self.sent.append((lease.worker_id, lease.message.id))
        await asyncio.sleep(self.takes_s)
        return Answer(Sent(len(self.sent)), self.clock())

    @property
    def ids(self) -> list[str]:
        return [message_id for _, message_id in self.sent]


@dataclass
class Process:
    name: str
    ledger: SqlLedger
    leader: Leader
    redis: RedisBroker
    broker: FailoverBroker
    conditions: Conditions
    dispatcher: Dispatcher
    worker: Worker
    recoverer: Recoverer
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    count: int = 0

    async def submit(self, ids: Ids, count: int, *, chats: int = 50) -> list[str]:
        """Accept messages to chats in turn, and return their ids."""
        submitted, now_ms = [], SystemClock()()
        for _ in range(count):
            self.count += 1
            message_id = ids.new(now_ms)
            submitted.append(outgoing(message_id, chat_id=1 + self.count % chats))
        for start in range(0, count, 200):
            await self.dispatcher.submit(submitted[start : start + 200])
        return [each.id for each in submitted]

    def start(self) -> None:
        pending_admissions = self.dispatcher.pending_admissions
        parts = (self.leader.run(), self.worker.run(), self.recoverer.run(), pending_admissions.run())
        self.tasks = [asyncio.create_task(each) for each in parts]

    async def kill(self) -> None:
        """End at once, with whatever is in hand."""
        await _cancel(*self.tasks, *self.worker._tasks)
        self.tasks = []


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def process(
    name: str,
    redis_url: str,
    database_url: str,
    telegram: Telegram,
    *,
    limits: Limits = UNLIMITED,
    slots: int = 8,
    lease_ms: int = LEASE_MS,
    schema: int = SCHEMA,
    may_lead: bool = True,
) -> AsyncIterator[Process]:
    """Put a process together, and start it; it is killed when the block ends."""
    async with AsyncExitStack() as stack:
        database = await Database.open(database_url)
        stack.push_async_callback(database.close)
        leads = await stack.enter_async_context(leadership(database_url, LEADER_LOCK))
        number = secrets.randbits(31)
        announcements = await stack.enter_async_context(membership(database_url, number))
        connection = await stack.enter_async_context(connected(redis_url))
        clock, ledger, results = SystemClock(), SqlLedger(database), MemoryResults()
        conditions = Conditions(clock)
        clock_gap = ClockGap(clock, conditions)
        redis = RedisBroker(connection, limits, lease_ms=lease_ms, schema=schema, clock_gap=clock_gap)
        built = failover.build(
            redis,
            partial(MemoryBroker, clock=clock, lease_ms=lease_ms),
            failover.Coordination(
                epochs=SqlEpochs(database, announcements=announcements),
                leadership=leads,
                members=SqlMembership(database),
                shares_ledger=database_url.startswith("postgresql"),
            ),
            ledger=ledger,
            results=results,
            limits=partial(given, limits),
            lease_ms=lease_ms,
            clock=clock,
            conditions=conditions,
            may_lead=may_lead,
        )
        broker, closer = built.broker, built.closer
        reachability = Reachability(
            ledger=ledger, closer=closer, changes=MemoryChanges(), clock=clock, hears=lambda *_: True
        )
        pending_admissions = PendingAdmissions(ledger=ledger, broker=broker, closer=closer)
        delivery = Delivery(
            transport=telegram,
            ledger=ledger,
            broker=broker,
            results=results,
            closer=closer,
            reachability=reachability,
            retries=RetryPolicy(),
            retry_after_ms_max=300_000,
            conditions=conditions,
            circuit_breaker=CircuitBreaker("api.test", clock=clock, conditions=conditions),
            pending_admissions=pending_admissions,
            clock=clock,
        )
        worker = Worker(
            broker=broker,
            delivery=delivery,
            closer=closer,
            worker_id=name,
            slots=slots,
            lease_ms=lease_ms,
            is_source=broker.is_source,
            clock=clock,
        )
        running = Process(
            name=name,
            ledger=ledger,
            leader=built.leader,
            redis=redis,
            broker=broker,
            conditions=conditions,
            dispatcher=Dispatcher(
                ledger=ledger,
                broker=broker,
                reachability=reachability,
                closer=closer,
                worker=worker,
                pending_admissions=pending_admissions,
                conditions=conditions,
                count_drops=Metrics().count_drops,
            ),
            worker=worker,
            recoverer=Recoverer(
                broker=broker,
                delivery=delivery,
                worker_id=f"{name}-r",
                interval_ms=lease_ms // 2,
                conditions=conditions,
                clock=clock,
            ),
        )
        running.start()
        try:
            yield running
        finally:
            with suppress(asyncio.CancelledError):
                await running.kill()


def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let leaders wait a tenth of what they usually do."""
    for module in (leader, standalone_mode):
        monkeypatch.setattr(module, "WATCH_S", 0.1)
    monkeypatch.setattr(leader, "PROBE_S", 0.2)
    monkeypatch.setattr(leader_election, "MISSED_MS", 200)
    monkeypatch.setattr(leader_election, "ASIDE_MS", 400)
    monkeypatch.setattr(leader_election, "AWAY_MS", 800)
    monkeypatch.setattr(standalone_mode, "BACK_MS", 200)
    monkeypatch.setattr(standalone_mode, "MARGIN_MS", 100)
    monkeypatch.setattr(dead_processes, "CHECK_MS", 200)
    monkeypatch.setattr(catch_up, "CATCH_UP_MS", 300)
    monkeypatch.setattr(catch_up, "TAKE_IN_MS", 100)


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds; a test that would wait for ever fails instead."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)
