"""Who may send what, and when: kept in this process, or in Redis for all that share it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bot.settings import Settings
from engine.conditions import Conditions
from engine.errors import ScheduleLost
from engine.memory_broker import MemoryBroker
from engine.memory_results import MemoryResults
from engine.ports import Broker, Clock, Ledger, Results
from engine.redis_broker import RedisBroker, connect
from engine.replacements import Replacements
from engine.start import rebuild


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The queue, and how an answer finds who waits for it."""

    broker: Broker
    results: Results
    conditions: Conditions


@asynccontextmanager
async def schedule_of(settings: Settings, clock: Clock) -> AsyncIterator[Schedule]:
    if not settings.redis_url:
        broker = MemoryBroker(settings.limits(), clock=clock, lease_ms=settings.lease_ms)
        yield Schedule(broker=broker, results=MemoryResults(), conditions=Conditions(clock))
        return
    redis = connect(settings.redis_url)
    try:
        yield Schedule(
            broker=RedisBroker(redis, settings.limits(), lease_ms=settings.lease_ms),
            results=MemoryResults(),
            conditions=Conditions(clock),
        )
    finally:
        await redis.aclose()


async def begin(
    settings: Settings, schedule: Schedule, ledger: Ledger, replacements: Replacements, clock: Clock
) -> None:
    """Bring the schedule to where the ledger says that it was, unless others keep it."""
    if isinstance(schedule.broker, RedisBroker):
        try:
            await schedule.broker.knows([])
        except ScheduleLost:
            await schedule.broker.begin()
        else:
            return
    calls_max = settings.telegram_connections
    await rebuild(ledger, schedule.broker, replacements, settings.limits(), clock, calls_max=calls_max)
