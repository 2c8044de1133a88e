"""The whole program, and the HTTP API over it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from tempogram.api.app import App, create_app
from tempogram.api.core.dependencies import Door, Services
from tempogram.bot.behaviours import own
from tempogram.bot.behaviours.registry import Behaviours
from tempogram.bot.config.data_dir import AdminToken, database_url, read_admin_token
from tempogram.bot.config.file_modes import report_data_dir
from tempogram.bot.config.process_roles import ProcessRole, check
from tempogram.bot.config.settings import Settings
from tempogram.bot.fleet.cache_invalidation import CacheInvalidation
from tempogram.bot.fleet.removal import Removals
from tempogram.bot.runtime.loops import Loops
from tempogram.bot.terminal.steps import step
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.door import door_of
from tempogram.bot.wiring.engine import Engine, engine_of
from tempogram.bot.wiring.queue import Queue, queue_of
from tempogram.bot.wiring.storage import Storage, open_storage
from tempogram.bot.wiring.telegram import Telegram, connect_telegram
from tempogram.bot.wiring.updates import UpdateHandling, updates_of
from tempogram.engine.ports import Clock, Leadership, SystemClock
from tempogram.engine.recovery.settings_sync import pause_unreadable_token, resume_with_token
from tempogram.storage.processes.leadership import UPDATE_SOURCES_LOCK, UPKEEP_LOCK, leadership

if TYPE_CHECKING:
    from tempogram.bot.terminal.conversation import Conversation

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Every part that runs. The queue is rebuilt from the ledger; nothing is sent before ``running``.

    Attributes:
        door: What serves the Bot API itself; None: it is not served here.
        update_sources_lock: The process that holds it runs the update sources.
        upkeep_lock: The process that holds it does the upkeep: retention, and removals that were left unfinished.
    """

    context: Context
    behaviours: Behaviours
    admin_token: AdminToken
    storage: Storage
    queue: Queue
    telegram: Telegram
    engine: Engine
    updates: UpdateHandling
    door: Door | None
    removals: Removals
    cache_invalidation: CacheInvalidation
    update_sources_lock: Leadership
    upkeep_lock: Leadership
    loops: Loops


@asynccontextmanager
async def program(
    settings: Settings,
    role: ProcessRole = ProcessRole.RUN,
    *,
    opened: Storage | None = None,
    clock: Clock | None = None,
    simulated: bool = False,
    conversation: Conversation | None = None,
) -> AsyncIterator[Program]:
    """Build the program; without ``opened`` it opens the database itself."""
    check(role, settings)
    context = Context(
        settings=settings, role=role, clock=clock or SystemClock(), simulated=simulated, conversation=conversation
    )
    behaviours = Behaviours(own.load(settings.behaviours) if role.handles_updates else (), simulated=simulated)
    admin_token = read_admin_token(settings)
    report_data_dir(settings)
    async with AsyncExitStack() as stack:
        storage = (
            opened if opened is not None else await stack.enter_async_context(open_storage(settings, context.clock))
        )
        with step("waits for Redis"):
            queue = await stack.enter_async_context(queue_of(context, storage))
        telegram = await stack.enter_async_context(connect_telegram(context, storage, queue, behaviours))
        engine = engine_of(context, storage, queue, telegram)
        await storage.uploads.purge_orphans()
        updates = await stack.enter_async_context(updates_of(context, storage, queue, telegram, engine, behaviours))
        with step("puts what waits into the queue"):
            await queue.begin()
        await engine.reachability.load()
        await keep_modules(context, storage, behaviours)
        await storage.check_key()
        await telegram.fleet.load()
        for bot_id in telegram.fleet.registry.unreadable:
            await pause_unreadable_token(storage.ledger, queue.broker, bot_id)
        telegram.fleet.when_token_stored(partial(resume_with_token, storage.ledger, queue.broker))
        yield Program(
            context=context,
            behaviours=behaviours,
            admin_token=admin_token,
            storage=storage,
            queue=queue,
            telegram=telegram,
            engine=engine,
            updates=updates,
            door=await stack.enter_async_context(door_of(context, storage, queue, telegram, engine)),
            removals=removals_of(context, storage, queue, telegram),
            cache_invalidation=CacheInvalidation(
                changes=queue.changes,
                fleet=telegram.fleet,
                reachability=engine.reachability,
                conditions=queue.conditions,
            ),
            update_sources_lock=await stack.enter_async_context(
                leadership(database_url(settings), UPDATE_SOURCES_LOCK)
            ),
            upkeep_lock=await stack.enter_async_context(leadership(database_url(settings), UPKEEP_LOCK)),
            loops=Loops(),
        )


async def keep_modules(context: Context, storage: Storage, behaviours: Behaviours) -> None:
    """Give the bots of an earlier version, in which each had every module of ``BEHAVIOURS``, those modules.

    While ``BEHAVIOURS`` names none, they stay as they are: a start without it must not take their modules for good.
    """
    modules = behaviours.of_earlier if context.role.handles_updates else {}
    if modules and (kept := await storage.bots.keep_modules(modules)):
        log.info("modules_kept", bots=kept, behaviours=list(modules))


def removals_of(context: Context, storage: Storage, queue: Queue, telegram: Telegram) -> Removals:
    return Removals(
        registry=telegram.fleet.registry,
        bots=storage.bots,
        broker=queue.broker,
        closer=queue.closer,
        calls_end_within_s=context.settings.lease_ms / 1_000,
        ids=storage.ids,
        conditions=queue.conditions,
        clock=context.clock,
    )


def app_of(built: Program) -> App:
    """Return the HTTP API; a role that takes nothing in serves only its health and metrics."""
    return create_app(services(built), serves_requests=built.context.role.takes_in)


def services(built: Program) -> Services:
    storage, queue, engine, updates = built.storage, built.queue, built.engine, built.updates

    async def healthy() -> bool:
        await storage.ledger.open_ids(after_id="", limit=1)  # raises if the ledger cannot be read
        return built.loops.alive

    return Services(
        intake=updates.intake,
        composer=updates.composer,
        attachments=updates.attachments,
        spool=updates.spool,
        fleet=built.telegram.fleet,
        dispatcher=engine.dispatcher,
        cancellations=engine.cancellations,
        closer=queue.closer,
        broker=queue.broker,
        ledger=storage.ledger,
        results=queue.results,
        handles=storage.handles,
        history=storage.history,
        bots=storage.bots,
        limits=storage.limits,
        removals=built.removals,
        metrics=engine.metrics,
        conditions=queue.conditions,
        clock=built.context.clock,
        admin_token=built.admin_token.value,
        healthy=healthy,
        door=built.door,
    )
