"""Who may send what, and when: kept in this process, or in Redis for all that share it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from tempogram.bot.config.data_dir import database_url
from tempogram.bot.config.process_roles import ProcessRole
from tempogram.bot.config.settings import Settings
from tempogram.bot.wiring.storage import Storage
from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.brokers.redis.broker import RedisBroker
from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.channels.memory_changes import MemoryChanges
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.channels.redis_changes import RedisChanges
from tempogram.engine.channels.redis_results import RedisResults
from tempogram.engine.closing.closer import Closer
from tempogram.engine.failover import failover
from tempogram.engine.limits.limits import Limits
from tempogram.engine.ports import Broker, Clock, LeaseSource, Results
from tempogram.engine.ports.changes import Changes
from tempogram.engine.recovery.rebuild import nothing, rebuild
from tempogram.engine.recovery.reconciler import Reconciler
from tempogram.engine.resilience.conditions import Conditions
from tempogram.storage.database.engines import is_sqlite, parse
from tempogram.storage.processes.leadership import LEADER_LOCK, leadership

Loop = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueParts:
    """The queue, and how processes tell one another what they must know.

    Attributes:
        is_source: Whether leases of it may be used now; None: always.
        begin: Bring it to where the ledger says that it was, before anything is asked of it.
        loops: What must run as long as the process does.
        hears: Wait until answers of other processes can be heard.
        say_the_rest: Wait until others were told what they must know; for the end of the process.
    """

    broker: Broker
    results: Results
    changes: Changes
    closer: Closer
    conditions: Conditions
    is_source: Callable[[], bool] | None = None
    begin: Callable[[], Awaitable[Any]]
    loops: tuple[Loop, ...]
    hears: Callable[[], Awaitable[Any]]
    say_the_rest: Callable[[], Awaitable[None]]


@asynccontextmanager
async def queue_of(settings: Settings, role: ProcessRole, storage: Storage, clock: Clock) -> AsyncIterator[QueueParts]:
    if settings.redis_url:
        async with in_redis(settings, role, storage, clock) as queue:
            yield queue
    else:
        yield in_memory(settings, await storage.limits.current(), storage, clock)


def in_memory(settings: Settings, limits: Limits, storage: Storage, clock: Clock) -> QueueParts:
    """Return the queue of one process; it is rebuilt from the ledger at each start."""
    results, conditions = MemoryResults(), Conditions(clock)
    broker = MemoryBroker(limits, clock=clock, lease_ms=settings.lease_ms)
    closer = Closer(ledger=storage.ledger, broker=broker, results=results, conditions=conditions, clock=clock)
    reconciler = Reconciler(ledger=storage.ledger, broker=broker, closer=closer, conditions=conditions, clock=clock)
    calls_max = settings.telegram_connections

    async def begin() -> None:
        # A schedule in Redis, if there ever was one, is older than what is sent from now on: nobody may trust it again.
        before = await storage.epochs.current()
        await storage.epochs.advance(before, LeaseSource.LEADER, schema=before.schema)
        await rebuild(storage.ledger, broker, closer, limits, clock, calls_max=calls_max)

    return QueueParts(
        broker=broker,
        results=results,
        changes=MemoryChanges(),
        closer=closer,
        conditions=conditions,
        begin=begin,
        loops=(reconciler.run, conditions.run),
        hears=nothing,
        say_the_rest=nothing,
    )


@asynccontextmanager
async def in_redis(settings: Settings, role: ProcessRole, storage: Storage, clock: Clock) -> AsyncIterator[QueueParts]:
    """Lend the queue of many processes; one of those that send keeps it, and stands in for it while Redis is away."""
    url, limits, conditions = database_url(settings), await storage.limits.current(), Conditions(clock)
    redis = connect(settings.redis_url)
    results = RedisResults(redis, process=storage.process, conditions=conditions)
    shared = RedisBroker(redis, limits, lease_ms=settings.lease_ms)
    try:
        async with leadership(url, LEADER_LOCK) as leads:
            built = failover.build(
                shared,
                partial(MemoryBroker, clock=clock, lease_ms=settings.lease_ms),
                failover.Coordination(
                    epochs=storage.epochs,
                    leadership=leads,
                    members=storage.members,
                    shares_ledger=not is_sqlite(parse(url)),
                ),
                ledger=storage.ledger,
                results=results,
                limits=storage.limits.current,
                lease_ms=settings.lease_ms,
                clock=clock,
                conditions=conditions,
                may_lead=role.sends,
            )
            broker, leader = built.broker, built.leader
            changes = RedisChanges(redis, process=storage.process, conditions=conditions, when_away=broker.suspect)

            async def say_the_rest() -> None:
                await results.flush()
                await changes.flush()

            await changes.begin()  # before the books are read: what changes meanwhile is heard later
            yield QueueParts(
                broker=broker,
                results=results,
                changes=changes,
                closer=built.closer,
                conditions=conditions,
                is_source=broker.is_source,
                begin=leader.look,
                loops=(leader.run, results.run, conditions.run),
                hears=results.listening.wait,
                say_the_rest=say_the_rest,
            )
    finally:
        await redis.aclose()
