"""The queue and its channels: in this process, or in Redis for all processes that share it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from tempogram.bot.config.data_dir import database_url
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.storage import Storage
from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.brokers.redis.broker import RedisBroker
from tempogram.engine.brokers.redis.clock_gap import ClockGap
from tempogram.engine.brokers.redis.connection import connect
from tempogram.engine.brokers.redis.ownership import Ownership, reason
from tempogram.engine.channels.memory_changes import MemoryChanges
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.channels.redis_changes import RedisChanges
from tempogram.engine.channels.redis_results import RedisResults
from tempogram.engine.closing.closer import Closer
from tempogram.engine.failover import failover
from tempogram.engine.limits.limits import Limits
from tempogram.engine.model.errors import BrokerRefused, BrokerUnavailable, QueueOfAnother, SettingsError
from tempogram.engine.ports import Broker, LeaseSource, Results
from tempogram.engine.ports.changes import Changes
from tempogram.engine.recovery.rebuild import nothing, rebuild
from tempogram.engine.recovery.reconciler import Reconciler
from tempogram.engine.resilience.conditions import Conditions
from tempogram.storage.database.engines import is_sqlite, parse
from tempogram.storage.processes.leadership import LEADER_LOCK, leadership

Loop = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The queue, and the channels between processes.

    Attributes:
        is_source: Whether leases of it may be used now; None: always.
        begin: Rebuilds the queue from the ledger, before it is used.
        loops: What must run as long as the process does.
        listening: Waits until results of other processes are received.
        flush: Waits until other processes have every result and change; for the end of the process.
        watch: Raises ``SettingsError`` when the queue turns out to belong to another ledger; never returns.
    """

    broker: Broker
    results: Results
    changes: Changes
    closer: Closer
    conditions: Conditions
    is_source: Callable[[], bool] | None = None
    begin: Callable[[], Awaitable[Any]]
    loops: tuple[Loop, ...]
    listening: Callable[[], Awaitable[Any]]
    flush: Callable[[], Awaitable[None]]
    watch: Callable[[], Awaitable[Any]]


@asynccontextmanager
async def queue_of(context: Context, storage: Storage) -> AsyncIterator[Queue]:
    limits = await storage.limits.current()
    if context.settings.redis_url:
        async with in_redis(context, storage, limits) as queue:
            yield queue
    else:
        yield in_memory(context, storage, limits)


def in_memory(context: Context, storage: Storage, limits: Limits) -> Queue:
    """Return the queue of one process; it is rebuilt from the ledger at each start."""
    settings, clock = context.settings, context.clock
    results, conditions = MemoryResults(), Conditions(clock)
    broker = MemoryBroker(limits, clock=clock, lease_ms=settings.lease_ms)
    closer = Closer(ledger=storage.ledger, broker=broker, results=results, conditions=conditions, clock=clock)
    reconciler = Reconciler(ledger=storage.ledger, broker=broker, closer=closer, conditions=conditions, clock=clock)
    calls_max = settings.telegram_connections

    async def begin() -> None:
        # A queue in Redis, if there ever was one, is outdated from now on: no process may lease from it again.
        before = await storage.epochs.current()
        await storage.epochs.advance(before, LeaseSource.LEADER, schema=before.schema)
        await rebuild(storage.ledger, broker, closer, limits, clock, calls_max=calls_max)

    return Queue(
        broker=broker,
        results=results,
        changes=MemoryChanges(),
        closer=closer,
        conditions=conditions,
        begin=begin,
        loops=(reconciler.run, conditions.run),
        listening=nothing,
        flush=nothing,
        watch=asyncio.Event().wait,
    )


@asynccontextmanager
async def in_redis(context: Context, storage: Storage, limits: Limits) -> AsyncIterator[Queue]:
    """Open the queue of many processes; the leader among those that send replaces it while Redis is unavailable."""
    settings, clock = context.settings, context.clock
    url, conditions = database_url(settings), Conditions(clock)
    redis = connect(settings.redis_url)
    results = RedisResults(redis, process=storage.process, conditions=conditions)
    ownership = Ownership(storage.ledger_id)
    clock_gap = ClockGap(clock, conditions)
    shared = RedisBroker(redis, limits, lease_ms=settings.lease_ms, ownership=ownership, clock_gap=clock_gap)

    async def watch() -> None:
        await ownership.is_refused.wait()
        raise SettingsError(reason())

    try:
        await claim(shared)
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
                may_lead=context.role.sends,
            )
            broker, leader = built.broker, built.leader
            changes = RedisChanges(redis, process=storage.process, conditions=conditions, when_away=broker.suspect)

            async def flush() -> None:
                await results.flush()
                await changes.flush()

            await changes.begin()  # before the database is read, so that no change in between is missed
            yield Queue(
                broker=broker,
                results=results,
                changes=changes,
                closer=built.closer,
                conditions=conditions,
                is_source=broker.is_source,
                begin=leader.look,
                loops=(leader.run, results.run, conditions.run),
                listening=results.listening.wait,
                flush=flush,
                watch=watch,
            )
    finally:
        await redis.aclose()


async def claim(shared: RedisBroker) -> None:
    """Claim Redis for this ledger; if it is away, that is done when it is first asked.

    Raises:
        SettingsError: It is another ledger's, or refuses this process.
    """
    try:
        await shared.claim()
    except QueueOfAnother as error:
        raise SettingsError(str(error)) from None
    except BrokerRefused as error:
        way_out = "correct its user, password and database number, or set it to a Redis of version 6.2 or later"
        raise SettingsError(f"the Redis of REDIS_URL cannot be used: {error}; {way_out}") from None
    except BrokerUnavailable:
        pass
