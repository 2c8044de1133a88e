"""Who may send what, and when: kept in this process, or in Redis for all that share it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from tempogram.bot.config.data_dir import database_url
from tempogram.bot.config.process_roles import Role
from tempogram.bot.config.settings import Settings
from tempogram.bot.wiring.storage import Books
from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.brokers.redis.broker import RedisBroker, connect
from tempogram.engine.channels.memory_changes import SilentNews
from tempogram.engine.channels.memory_results import MemoryResults
from tempogram.engine.channels.redis_changes import RedisNews
from tempogram.engine.channels.redis_results import RedisResults
from tempogram.engine.closing.replacements import Replacements
from tempogram.engine.failover.failover_broker import SwitchedBroker
from tempogram.engine.failover.leader import Keeper
from tempogram.engine.limits.limits import Limits
from tempogram.engine.ports import Broker, Clock, Results, Source
from tempogram.engine.ports.changes import News
from tempogram.engine.recovery.rebuild import nothing, rebuild
from tempogram.engine.recovery.reconciler import Reconciler
from tempogram.engine.resilience.conditions import Conditions
from tempogram.storage.database.database import is_sqlite, parse
from tempogram.storage.processes.leadership import KEEPERS, leadership

Loop = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
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
    news: News
    replacements: Replacements
    conditions: Conditions
    is_source: Callable[[], bool] | None = None
    begin: Callable[[], Awaitable[Any]]
    loops: tuple[Loop, ...]
    hears: Callable[[], Awaitable[Any]]
    say_the_rest: Callable[[], Awaitable[None]]


@asynccontextmanager
async def schedule_of(settings: Settings, role: Role, kept: Books, clock: Clock) -> AsyncIterator[Schedule]:
    if settings.redis_url:
        async with in_redis(settings, role, kept, clock) as schedule:
            yield schedule
    else:
        yield in_memory(settings, await kept.limits.current(), kept, clock)


def in_memory(settings: Settings, limits: Limits, kept: Books, clock: Clock) -> Schedule:
    """Return the queue of one process; it is rebuilt from the ledger at each start."""
    results, conditions = MemoryResults(), Conditions(clock)
    broker = MemoryBroker(limits, clock=clock, lease_ms=settings.lease_ms)
    replacements = Replacements(ledger=kept.ledger, results=results, conditions=conditions, clock=clock)
    reconciler = Reconciler(
        ledger=kept.ledger, broker=broker, replacements=replacements, conditions=conditions, clock=clock
    )
    calls_max = settings.telegram_connections

    async def begin() -> None:
        # A schedule in Redis, if there ever was one, is older than what is sent from now on: nobody may trust it again.
        before = await kept.epochs.current()
        await kept.epochs.advance(before, Source.KEEPER, form=before.form)
        await rebuild(kept.ledger, broker, replacements, limits, clock, calls_max=calls_max)

    return Schedule(
        broker=broker,
        results=results,
        news=SilentNews(),
        replacements=replacements,
        conditions=conditions,
        begin=begin,
        loops=(reconciler.run, conditions.run),
        hears=nothing,
        say_the_rest=nothing,
    )


@asynccontextmanager
async def in_redis(settings: Settings, role: Role, kept: Books, clock: Clock) -> AsyncIterator[Schedule]:
    """Lend the queue of many processes; one of those that send keeps it, and stands in for it while Redis is away."""
    url, limits, conditions = database_url(settings), await kept.limits.current(), Conditions(clock)
    redis = connect(settings.redis_url)
    results = RedisResults(redis, process=kept.process, conditions=conditions)
    replacements = Replacements(ledger=kept.ledger, results=results, conditions=conditions, clock=clock)
    shared = RedisBroker(redis, limits, lease_ms=settings.lease_ms)
    broker = SwitchedBroker(shared, kept.ledger, conditions, lease_ms=settings.lease_ms, clock=clock)
    news = RedisNews(redis, process=kept.process, conditions=conditions, when_away=broker.doubt)

    async def say_the_rest() -> None:
        await results.sent()
        await news.announced()

    try:
        async with leadership(url, KEEPERS) as leads:
            keeper = Keeper(
                switch=broker,
                redis=shared,
                memory=partial(MemoryBroker, clock=clock, lease_ms=settings.lease_ms),
                epochs=kept.epochs,
                leadership=leads,
                members=kept.members,
                ledger=kept.ledger,
                replacements=replacements,
                reconciler=Reconciler(ledger=kept.ledger, broker=broker, replacements=replacements, clock=clock),
                limits=kept.limits.current,
                lease_ms=settings.lease_ms,
                clock=clock,
                conditions=conditions,
                may_lead=role.sends,
                shares_books=not is_sqlite(parse(url)),
            )
            await news.begin()  # before the books are read: what changes meanwhile is heard later
            yield Schedule(
                broker=broker,
                results=results,
                news=news,
                replacements=replacements,
                conditions=conditions,
                is_source=broker.is_source,
                begin=keeper.look,
                loops=(keeper.run, results.run, conditions.run),
                hears=results.listening.wait,
                say_the_rest=say_the_rest,
            )
    finally:
        await redis.aclose()
