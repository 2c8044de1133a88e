"""All parts together, and the HTTP side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from tempogram.api.app import App, create_app
from tempogram.api.core.dependencies import Services
from tempogram.bot import behaviours
from tempogram.bot.config.data_dir import DataDir, database_url, home
from tempogram.bot.config.process_roles import ProcessRole, check
from tempogram.bot.config.settings import Settings
from tempogram.bot.fleet.cache_invalidation import CacheInvalidation
from tempogram.bot.fleet.removal import Removals
from tempogram.bot.runtime.loops import Loops
from tempogram.bot.wiring.engine import Engine, engine_of
from tempogram.bot.wiring.queue import QueueParts, queue_of
from tempogram.bot.wiring.storage import Storage, open_storage
from tempogram.bot.wiring.telegram import Telegram, connect_telegram
from tempogram.bot.wiring.updates import UpdateHandling, text_generator, updates_of
from tempogram.engine.model.ids import Ids
from tempogram.engine.ports import Clock, Leadership, SystemClock
from tempogram.engine.recovery.cancellations import Cancellations
from tempogram.engine.recovery.settings_sync import resume_with_token
from tempogram.storage.processes.leadership import UPDATE_SOURCES_LOCK, leadership


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Everything that runs, put together and rebuilt from the ledger; nothing is sent before ``running``."""

    settings: Settings
    role: ProcessRole
    home: DataDir
    storage: Storage
    telegram: Telegram
    queue: QueueParts
    engine: Engine
    updates: UpdateHandling
    removals: Removals
    cache_invalidation: CacheInvalidation
    lead: Leadership
    app: App
    loops: Loops


@asynccontextmanager
async def program(
    settings: Settings,
    role: ProcessRole = ProcessRole.RUN,
    *,
    opened: Storage | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Program]:
    """Build the program: a queue, the database, one pool of connections.

    Without ``opened`` it opens the books itself.
    """
    check(role, settings)
    own_routers = behaviours.own.routers(settings.behaviours)
    clock, at_home = clock or SystemClock(), home(settings)
    async with AsyncExitStack() as stack:
        storage = opened if opened is not None else await stack.enter_async_context(open_storage(settings, clock))
        queue = await stack.enter_async_context(queue_of(settings, role, storage, clock))
        telegram = await stack.enter_async_context(
            connect_telegram(settings, storage, queue.changes, queue.conditions, clock)
        )
        generator = await stack.enter_async_context(text_generator(settings))
        engine = engine_of(settings, role, storage, telegram, queue, clock)
        await storage.uploads.purge_orphans()
        ids = Ids(await storage.ledger.last_id(), process=storage.process)
        updates = stack.enter_context(
            updates_of(settings, storage, telegram, engine, generator, own_routers, ids, clock)
        )
        removals, loops = departures_of(settings, storage, telegram, engine, ids, clock), Loops()
        await queue.begin()
        await engine.reachability.load()
        await telegram.fleet.load()
        telegram.fleet.when_token_stored(partial(resume_with_token, engine.ledger, engine.broker))
        yield Program(
            settings=settings,
            role=role,
            home=at_home,
            storage=storage,
            telegram=telegram,
            queue=queue,
            engine=engine,
            updates=updates,
            removals=removals,
            cache_invalidation=CacheInvalidation(
                changes=queue.changes,
                fleet=telegram.fleet,
                reachability=engine.reachability,
                conditions=engine.conditions,
            ),
            lead=await stack.enter_async_context(leadership(database_url(settings), UPDATE_SOURCES_LOCK)),
            app=create_app(
                services(storage, telegram, engine, updates, removals, loops, at_home.admin_token, clock),
                serves_requests=role.takes_in,
            ),
            loops=loops,
        )


def departures_of(
    settings: Settings, storage: Storage, telegram: Telegram, engine: Engine, ids: Ids, clock: Clock
) -> Removals:
    return Removals(
        registry=telegram.fleet.registry,
        bots=storage.bots,
        broker=engine.broker,
        closer=engine.closer,
        calls_end_within_s=settings.lease_ms / 1_000,
        ids=ids,
        conditions=engine.conditions,
        clock=clock,
    )


def services(
    storage: Storage,
    telegram: Telegram,
    engine: Engine,
    updates: UpdateHandling,
    removals: Removals,
    loops: Loops,
    admin_token: str,
    clock: Clock,
) -> Services:
    async def healthy() -> bool:
        await engine.ledger.open_ids(after_id="", limit=1)  # raises if the ledger cannot be read
        return loops.alive

    return Services(
        intake=updates.intake,
        composer=updates.composer,
        attachments=updates.attachments,
        spool=updates.spool,
        fleet=telegram.fleet,
        dispatcher=engine.dispatcher,
        cancellations=Cancellations(
            broker=engine.broker,
            closer=engine.closer,
            pending_admissions=engine.dispatcher.pending_admissions,
            conditions=engine.conditions,
        ),
        broker=engine.broker,
        ledger=engine.ledger,
        results=engine.results,
        history=storage.history,
        bots=storage.bots,
        limits=storage.limits,
        removals=removals,
        metrics=engine.metrics,
        conditions=engine.conditions,
        clock=clock,
        admin_token=admin_token,
        healthy=healthy,
    )
