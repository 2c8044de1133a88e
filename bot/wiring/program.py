"""The whole program."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from tempogram.api.security.known_credentials import KnownCredentials
from tempogram.api.security.principals import BearerTokens
from tempogram.bot.config.data_dir import AdminToken, bearer_tokens, database_url, read_admin_token
from tempogram.bot.config.file_modes import report_data_dir
from tempogram.bot.config.misspelt import misspelt
from tempogram.bot.config.process_roles import ProcessRole, check
from tempogram.bot.config.settings import Settings
from tempogram.bot.fleet.cache_invalidation import CacheInvalidation
from tempogram.bot.runtime.loops import Loops
from tempogram.bot.telegram.aiogram_import import import_aiogram
from tempogram.bot.terminal.steps import step
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.engine import Engine, engine_of
from tempogram.bot.wiring.queue import Queue, queue_of
from tempogram.bot.wiring.sightings import sightings_of
from tempogram.bot.wiring.storage import Storage, open_storage
from tempogram.bot.wiring.telegram import Telegram, connect_telegram, reader_of
from tempogram.engine.alerts.sightings import Sightings
from tempogram.engine.ports import Clock, Leadership, SystemClock
from tempogram.engine.recovery.settings_sync import pause_unreadable_token
from tempogram.engine.services.catalogue import variables
from tempogram.storage.processes.leadership import UPDATE_SOURCES_LOCK, UPKEEP_LOCK, leadership

if TYPE_CHECKING:
    from tempogram.bot.terminal.conversation import Conversation
    from tempogram.bot.wiring.front import Front

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use the API, checked before anything is opened."""

    admin_token: AdminToken
    tokens: BearerTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Every part that runs. The queue is rebuilt from the ledger; nothing is sent before ``running``.

    Attributes:
        front_if_any: None in a process that only sends.
        update_sources_lock: The process that holds it runs the update sources.
        credentials: What this process believes of API tokens and sessions.
        sightings: What this process finds wrong in itself, for the one that looks for all.
        upkeep_lock: The process that holds it does the upkeep: tasks, unfinished removals and alerts.
    """

    context: Context
    access: Access
    storage: Storage
    queue: Queue
    telegram: Telegram
    engine: Engine
    front_if_any: Front | None
    sightings: Sightings
    cache_invalidation: CacheInvalidation
    credentials: KnownCredentials
    update_sources_lock: Leadership
    upkeep_lock: Leadership
    loops: Loops

    @property
    def front(self) -> Front:
        """Return the parts in which calls are made; only for a role that does more than send."""
        assert self.front_if_any is not None, "this process only sends"  # noqa: S101 - an invariant
        return self.front_if_any

    async def healthy(self) -> bool:
        """Tell whether the process works; raises ``LedgerError`` if the ledger cannot be read."""
        await self.storage.ledger.open_ids(after_id="", limit=1)
        return self.loops.alive


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
    for name, near in misspelt(_service_variables(settings, role), unused=role.unused_settings):
        log.warning("setting_misspelt", name=name, did_you_mean=near)
    context = Context(
        settings=settings, role=role, clock=clock or SystemClock(), simulated=simulated, conversation=conversation
    )
    admin_token = read_admin_token(settings)
    access = Access(admin_token, bearer_tokens(settings, admin_token.value))
    report_data_dir(settings)
    build = _sender if role.only_sends else _with_front
    async with AsyncExitStack() as stack:
        yield await build(context, access, opened, stack)


def _service_variables(settings: Settings, role: ProcessRole) -> Iterable[str]:
    """Return the variables of the services that this process may call.

    Raises:
        SettingsError: A declaration makes no sense.
    """
    if role.only_sends:
        return ()
    from tempogram.bot.wiring.services import declared_services

    return variables(declared_services(settings))


async def _sender(context: Context, access: Access, opened: Storage | None, stack: AsyncExitStack) -> Program:
    """Build a process that only sends. It imports neither aiogram nor FastAPI."""
    storage, queue = await _stored_and_queued(context, opened, stack)
    telegram = await stack.enter_async_context(connect_telegram(context, reader_of(context, storage, queue)))
    engine = engine_of(context, storage, queue, telegram)
    await _begin(context, storage, queue, engine)
    await _load_bots(storage, queue, telegram)
    return await _program(context, access, storage, queue, telegram, engine, None, stack)


async def _with_front(context: Context, access: Access, opened: Storage | None, stack: AsyncExitStack) -> Program:
    import_aiogram()
    from tempogram.bot.wiring import front as parts

    behaviours = parts.behaviours_of(context)
    storage, queue = await _stored_and_queued(context, opened, stack)
    fleet = await stack.enter_async_context(parts.fleet_of(context, storage, queue, behaviours))
    telegram = await stack.enter_async_context(connect_telegram(context, fleet))
    engine = engine_of(context, storage, queue, telegram)
    front = await stack.enter_async_context(parts.front_of(context, storage, queue, fleet, engine, behaviours))
    await _begin(context, storage, queue, engine)
    await parts.keep_modules(context, storage, behaviours)
    await _load_bots(storage, queue, telegram)
    return await _program(context, access, storage, queue, telegram, engine, front, stack)


async def _stored_and_queued(context: Context, opened: Storage | None, stack: AsyncExitStack) -> tuple[Storage, Queue]:
    if opened is None:
        opened = await stack.enter_async_context(open_storage(context.settings, context.clock))
    with step("waits for Redis"):
        return opened, await stack.enter_async_context(queue_of(context, opened))


async def _begin(context: Context, storage: Storage, queue: Queue, engine: Engine) -> None:
    await storage.uploads.purge_orphans(now_ms=context.clock())
    with step("puts what waits into the queue"):
        await queue.begin()
    await engine.reachability.load()


async def _load_bots(storage: Storage, queue: Queue, telegram: Telegram) -> None:
    await storage.check_key()
    await telegram.bots.load()
    for bot_id in telegram.bots.registry.unreadable:
        await pause_unreadable_token(storage.ledger, queue.broker, bot_id)


async def _program(
    context: Context,
    access: Access,
    storage: Storage,
    queue: Queue,
    telegram: Telegram,
    engine: Engine,
    front: Front | None,
    stack: AsyncExitStack,
) -> Program:
    url = database_url(context.settings)
    credentials = KnownCredentials(storage.api_tokens, storage.sessions, storage.users, clock=context.clock)
    return Program(
        context=context,
        access=access,
        storage=storage,
        queue=queue,
        telegram=telegram,
        engine=engine,
        front_if_any=front,
        sightings=sightings_of(context, storage, queue, engine) if front is None else front.alerting.sightings,
        cache_invalidation=CacheInvalidation(
            changes=queue.changes,
            fleet=telegram.bots,
            reachability=engine.reachability,
            services=None if front is None else front.changed_services,
            forget_access=credentials.forget,
            conditions=queue.conditions,
        ),
        credentials=credentials,
        update_sources_lock=await stack.enter_async_context(leadership(url, UPDATE_SOURCES_LOCK, storage.held_locks)),
        upkeep_lock=await stack.enter_async_context(leadership(url, UPKEEP_LOCK, storage.held_locks)),
        loops=Loops(),
    )
