"""The parts in which calls are made: by handlers, clients of the API or a user's program. A worker has none of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog
from aiogram.client.telegram import TelegramAPIServer

from tempogram.api.core.dependencies import Door
from tempogram.api.core.ports import DryRuns
from tempogram.bot.behaviours import own
from tempogram.bot.behaviours.registry import Behaviours
from tempogram.bot.fleet.bot_objects import Defaults
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.fleet.removal import Removals
from tempogram.bot.fleet.token_rate_limit import NEW_TOKENS, TokenRateLimit
from tempogram.bot.proxy.sessions import DirectSession
from tempogram.bot.wiring.alerts import Alerting, alerts_of
from tempogram.bot.wiring.broadcasts import Broadcasting, broadcasting_of, desk_of
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.door import door_of
from tempogram.bot.wiring.engine import Engine
from tempogram.bot.wiring.queue import Queue
from tempogram.bot.wiring.reengagement import dry_runs_of, reengagement_of, reengagement_task
from tempogram.bot.wiring.scheduler import retention_task, scheduler_of, tasks_of, webhooks_tasks
from tempogram.bot.wiring.services import services_of
from tempogram.bot.wiring.storage import Storage
from tempogram.bot.wiring.telegram import default_source, is_telegram
from tempogram.bot.wiring.updates import UpdateHandling, composer_of, updates_of
from tempogram.bot.wiring.watches import watch_tasks, watches_of
from tempogram.engine.recovery.settings_sync import resume_with_token
from tempogram.engine.scheduler.scheduler import Scheduler
from tempogram.engine.scheduler.task import Task
from tempogram.engine.services.changed import ChangedServices
from tempogram.engine.services.services import Services
from tempogram.engine.watches.watches import Watches

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """See the module.

    Attributes:
        services: What behaviours call besides Telegram.
        changed_services: Changes them while they run.
        alerting: What is looked for, and by which channels it is said.
        watches: What chats watch.
        broadcasting: What feeds the queue with broadcasts, and what operators do with them.
        door: What serves the Bot API itself; None: it is not served here.
        tasks: By name, whether they run here or in another process.
        scheduler: None: another process runs the tasks.
        dry_runs: Whom bots would re-engage.
    """

    behaviours: Behaviours
    fleet: Fleet
    updates: UpdateHandling
    removals: Removals
    door: Door | None
    services: Services
    changed_services: ChangedServices
    tasks: Mapping[str, Task]
    scheduler: Scheduler | None
    dry_runs: DryRuns
    alerting: Alerting
    watches: Watches
    broadcasting: Broadcasting


def behaviours_of(context: Context) -> Behaviours:
    modules = context.settings.behaviours if context.role.handles_updates else ()
    return Behaviours(own.load(modules), simulated=context.simulated)


@asynccontextmanager
async def fleet_of(context: Context, storage: Storage, queue: Queue, behaviours: Behaviours) -> AsyncIterator[Fleet]:
    settings, clock = context.settings, context.clock
    direct = DirectSession(settings.proxy, api=TelegramAPIServer.from_base(settings.telegram_api_url))
    fleet = Fleet(
        bots=storage.bots,
        session=direct,
        behaviours=behaviours,
        defaults=Defaults(settings.bot_defaults()),
        default_source=default_source(settings),
        token_rate_limit=TokenRateLimit(clock=clock, windows=NEW_TOKENS if is_telegram(settings) else ()),
        changes=queue.changes,
        calls_end_within_ms=settings.lease_ms,
        conditions=queue.conditions,
        clock=clock,
    )
    fleet.when_token_stored(partial(resume_with_token, storage.ledger, queue.broker))
    try:
        yield fleet
    finally:
        await direct.close()


@asynccontextmanager
async def front_of(
    context: Context, storage: Storage, queue: Queue, fleet: Fleet, engine: Engine, behaviours: Behaviours
) -> AsyncIterator[Front]:
    """Put the parts together; until the block ends, every ``Bot`` sends through the engine."""
    composer = composer_of(context, storage)
    broadcasting = broadcasting_of(context, storage, queue, engine, composer)
    async with (
        services_of(context, storage, queue.changes, engine.metrics) as (services, changed_services),
        watches_of(context, storage, services, engine) as watches,
        updates_of(
            context,
            storage,
            queue,
            fleet,
            engine,
            behaviours,
            services,
            watches,
            composer,
            desk_of(context, broadcasting),
        ) as updates,
        door_of(context, storage, queue, fleet, engine) as door,
        reengagement_of(context, storage, fleet, updates.gateway, services) as reengagement,
    ):
        own = [retention_task(storage, engine.eraser), reengagement_task(reengagement)]
        own += webhooks_tasks(context, updates.webhook_checkup)
        own += watch_tasks(context, storage, engine, fleet, updates.composer, watches)
        tasks = tasks_of(services, own)
        does_upkeep = context.role.does_upkeep
        async with alerts_of(context, storage, queue, engine, updates.composer, services, tasks) as alerting:
            yield Front(
                behaviours=behaviours,
                fleet=fleet,
                updates=updates,
                removals=removals_of(context, storage, queue, fleet),
                door=door,
                services=services,
                changed_services=changed_services,
                alerting=alerting,
                broadcasting=broadcasting,
                tasks=tasks,
                dry_runs=dry_runs_of(context, storage),
                scheduler=scheduler_of(context, storage, queue, services, tasks, engine.metrics.tasks)
                if does_upkeep
                else None,
                watches=watches,
            )


async def keep_modules(context: Context, storage: Storage, behaviours: Behaviours) -> None:
    """Give the bots of an earlier version, in which each had every module of ``BEHAVIOURS``, those modules.

    While ``BEHAVIOURS`` names none, they stay as they are: a start without it must not take their modules for good.
    """
    modules = behaviours.of_earlier if context.role.handles_updates else {}
    if modules and (kept := await storage.bots.keep_modules(modules)):
        log.info("modules_kept", bots=kept, behaviours=list(modules))


def removals_of(context: Context, storage: Storage, queue: Queue, fleet: Fleet) -> Removals:
    return Removals(
        registry=fleet.registry,
        bots=storage.bots,
        broker=queue.broker,
        closer=queue.closer,
        calls_end_within_s=context.settings.lease_ms / 1_000,
        ids=storage.ids,
        conditions=queue.conditions,
        clock=context.clock,
    )
