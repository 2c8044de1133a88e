"""What chats watch: the sources that modules have declared, and the tasks that ask them and send digests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from tempogram.api.core.ports import Composer
from tempogram.bot.behaviours.watches.declared import declared
from tempogram.bot.behaviours.watches.digests import Digests
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.tasks.declared import RESERVED
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.engine import Engine
from tempogram.bot.wiring.storage import Storage
from tempogram.engine.model.watches import DAY_MS, SHIPPED_PLANS
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every
from tempogram.engine.services.services import Services
from tempogram.engine.watches.watcher import Watcher
from tempogram.engine.watches.watches import Watches

MINUTE_MS = 60_000

RUN_MS_MAX = 10 * MINUTE_MS
"""Of a run of checks, or of digests: its last call may wait for as long as its service's deadline."""


@asynccontextmanager
async def watches_of(context: Context, storage: Storage, services: Services, engine: Engine) -> AsyncIterator[Watches]:
    """Put together what is watched, until the block ends; without a source there is nothing to watch.

    Raises:
        SettingsError: A source uses a service that there is not.
        LedgerError: The database cannot be reached.
    """
    sources = declared({name: services.service(name) for name in services.names()})
    rules, clock = context.settings.watch_rules(), context.clock
    watcher = Watcher(storage.watches, sources, services, rules, clock=clock, metrics=engine.metrics.watches)
    if sources:
        await storage.watches.ship_plans(SHIPPED_PLANS)
    try:
        yield Watches(storage.watches, sources, watcher, rules, clock)
    finally:
        await watcher.close()


def watch_tasks(
    context: Context, storage: Storage, engine: Engine, fleet: Fleet, composer: Composer, watches: Watches
) -> list[Task]:
    """Return what is done for watches, once for all processes; nothing without a source."""
    if not watches.sources:
        return []
    digests = Digests(
        storage.watches,
        engine.dispatcher,
        composer,
        is_known=fleet.registry.has,
        clock=context.clock,
        metrics=engine.metrics.watches,
    )
    return [
        *(_checks(watches, source) for source in watches.sources),
        Task(
            name=f"{RESERVED}watch-digests",
            times=Every(MINUTE_MS),
            work=digests.run,
            at_start=True,
            is_idempotent=True,
            timeout_ms=RUN_MS_MAX,
            pause_after=0,
        ),
        Task(name=f"{RESERVED}watch-decay", times=Every(DAY_MS), work=storage.watches.decay, pause_after=0),
    ]


def _checks(watches: Watches, source: str) -> Task:
    """Return what asks one source: each has a task of its own, so that none waits for another."""
    return Task(
        name=f"{RESERVED}watches.{source}",
        times=Every(MINUTE_MS),
        work=partial(watches.watcher.run, source),
        at_start=True,
        is_idempotent=True,
        timeout_ms=RUN_MS_MAX,
        pause_after=0,
    )
