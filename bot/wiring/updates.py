"""The parts that receive updates and answer them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiogram.client.telegram import TelegramAPIServer

from tempogram.bot.behaviours.dispatchers import Dispatchers, dispatchers_of
from tempogram.bot.behaviours.registry import Behaviours
from tempogram.bot.broadcasts.desk import Desk
from tempogram.bot.calls import session
from tempogram.bot.calls.endings import Endings
from tempogram.bot.calls.gateway import Gateway
from tempogram.bot.config.settings import Settings
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.fleet.revoked_tokens import RevokedTokens
from tempogram.bot.fsm.storage import DatabaseStorage
from tempogram.bot.generator import TextGenerator
from tempogram.bot.generator.chat_completions import ChatCompletions
from tempogram.bot.generator.conversation import ConversationWriter
from tempogram.bot.generator.templates import Fallback, Templates
from tempogram.bot.proxy.sessions import session_through
from tempogram.bot.telegram.attachments import Attachments
from tempogram.bot.telegram.composer import MethodComposer
from tempogram.bot.updates.handler_pool import HandlerPool
from tempogram.bot.updates.intake import UpdateIntake
from tempogram.bot.updates.poller import Poller
from tempogram.bot.updates.reachability import ReachabilityObserver
from tempogram.bot.updates.recorder import Recorder
from tempogram.bot.updates.source_health import SourceHealth
from tempogram.bot.updates.sources import UpdateSources, allowed_updates
from tempogram.bot.updates.webhook_checkup import WebhookCheckup
from tempogram.bot.updates.webhooks import Webhooks
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.engine import Engine
from tempogram.bot.wiring.queue import Queue
from tempogram.bot.wiring.storage import Storage
from tempogram.engine.services.services import Services
from tempogram.engine.watches.watches import Watches
from tempogram.storage.files.spool import Spool

UPDATES_WAITING_MAX = 20_000
"""Updates that may wait for a handler before webhooks are refused; untuned: Telegram delivers those again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateHandling:
    """The parts that receive updates and answer them, and those that take the calls of every ``Bot``."""

    composer: MethodComposer
    attachments: Attachments
    spool: Spool
    gateway: Gateway
    observer: ReachabilityObserver
    recorder: Recorder
    dispatchers: Dispatchers
    intake: UpdateIntake
    pool: HandlerPool
    update_sources: UpdateSources
    webhook_checkup: WebhookCheckup


def composer_of(context: Context, storage: Storage) -> MethodComposer:
    may_pay = context.settings.telegram_paid_stars_cap > 0
    return MethodComposer(clock=context.clock, ids=storage.ids, may_pay=may_pay)


@asynccontextmanager
async def updates_of(
    context: Context,
    storage: Storage,
    queue: Queue,
    fleet: Fleet,
    engine: Engine,
    behaviours: Behaviours,
    services: Services,
    watches: Watches,
    composer: MethodComposer,
    desk: Desk,
) -> AsyncIterator[UpdateHandling]:
    """Put the behaviours together; until the block ends, every ``Bot`` sends through the engine."""
    settings, clock = context.settings, context.clock
    spool = Spool(settings.data_dir, settings.upload_bytes_max)
    attachments = Attachments(storage.uploads, spool)
    gateway = Gateway(
        dispatcher=engine.dispatcher,
        composer=composer,
        attachments=attachments,
        endings=Endings(queue.results, storage.ledger.standings),
        handles=storage.handles,
        references=engine.references,
        tokens=fleet,
        known_holds=engine.known_holds,
        wait_s=settings.telegram_rate_limit_wait,
        call_s=settings.lease_ms / 1_000,
    )
    pool = HandlerPool(
        size=settings.handlers_max,
        waiting_max=UPDATES_WAITING_MAX,
        head_start_s=settings.head_start_s,
        timeout_s=settings.handler_timeout_s or None,
    )
    engine.metrics.handlers = pool.counts
    async with (
        conversation_writer_of(context, storage, services) as conversation_writer,
        session_through(context.settings.proxy, limit=0) as polls,
    ):
        dispatchers = await dispatchers_of(
            behaviours.all if context.role.handles_updates else (),
            fleet.registry,
            storage=DatabaseStorage(storage.states, clock=clock),
            bundled={
                "conversation_writer": conversation_writer,
                "chats": storage.chats,
                "ledger": storage.ledger,
                "closer": queue.closer,
                "clock": clock,
                "watches": watches,
                "desk": desk,
            },
        )
        observer = ReachabilityObserver(chats=storage.chats, reachability=engine.reachability, eraser=engine.eraser)
        recorder = Recorder(
            history=storage.history,
            chats=storage.chats,
            reachability=observer,
            conversation_writer=conversation_writer,
            ids=storage.ids,
        )
        intake = UpdateIntake(
            updates=storage.updates,
            death=storage.held_locks.death,
            fleet=fleet,
            dispatcher=dispatchers,
            gateway=gateway,
            pool=pool,
            conditions=queue.conditions,
            clock=clock,
            order=settings.handler_order,
            watch=None if context.watched_by is None else context.watched_by.received,
            recorder=recorder,
        )
        sources, webhook_checkup = sources_of(context, storage, queue, fleet, polls, intake, dispatchers)
        remove = session.install(gateway, only_base=only_base_of(context))
        try:
            yield UpdateHandling(
                composer=composer,
                attachments=attachments,
                spool=spool,
                gateway=gateway,
                observer=observer,
                recorder=recorder,
                dispatchers=dispatchers,
                intake=intake,
                pool=pool,
                update_sources=sources,
                webhook_checkup=webhook_checkup,
            )
        finally:
            remove()


def only_base_of(context: Context) -> str | None:
    """Return the Bot API of which every bot must be: an embedding program gives its bots sessions of their own."""
    return TelegramAPIServer.from_base(context.settings.telegram_api_url).base if context.role.is_embedded else None


def sources_of(
    context: Context,
    storage: Storage,
    queue: Queue,
    fleet: Fleet,
    polls: aiohttp.ClientSession,
    intake: UpdateIntake,
    dispatchers: Dispatchers,
) -> tuple[UpdateSources, WebhookCheckup]:
    """Return where updates come from, and what looks after webhooks."""
    settings, conditions, registry = context.settings, queue.conditions, fleet.registry

    def allowed_for(bot_id: int) -> list[str]:
        return allowed_updates(dispatchers.kinds_of(registry.registered(bot_id).behaviours))

    health = SourceHealth(conditions)
    revoked_tokens = RevokedTokens(fleet=fleet, ledger=storage.ledger, broker=queue.broker)
    webhooks = Webhooks(
        registry=registry,
        public_url=settings.public_url,
        pause_revoked=revoked_tokens.pause,
        health=health,
        conditions=conditions,
        allowed_for=allowed_for,
        clock=context.clock,
    )
    sources = UpdateSources(
        fleet=fleet,
        webhooks=webhooks,
        poller_for=lambda bot_id: Poller(
            bot_id=bot_id,
            session=polls,
            api_url=settings.telegram_api_url,
            token_of=registry.token_of,
            pause_revoked=revoked_tokens.pause,
            intake=intake,
            health=health,
            conditions=conditions,
            clock=context.clock,
            allowed_updates=allowed_for(bot_id),
        ),
    )
    return sources, WebhookCheckup(registry=registry, webhooks=webhooks, clock=context.clock)


@asynccontextmanager
async def conversation_writer_of(
    context: Context, storage: Storage, services: Services
) -> AsyncIterator[ConversationWriter]:
    keep_ms = context.settings.keep_texts_ms
    async with text_generator(context.settings, services) as generator:
        yield ConversationWriter(
            generator, texts=storage.texts if keep_ms else None, keep_ms=keep_ms, clock=context.clock
        )


@asynccontextmanager
async def text_generator(settings: Settings, services: Services) -> AsyncIterator[TextGenerator]:
    """Open the configured generator: templates, or a server with templates as its fallback."""
    if not settings.llm_api_url:
        yield Templates()
        return
    async with language_model(settings, services) as model:
        yield Fallback(model, Templates())


@asynccontextmanager
async def language_model(settings: Settings, services: Services, **options: str) -> AsyncIterator[ChatCompletions]:
    # Its own connections, so that a slow server takes none from Telegram's.
    async with aiohttp.ClientSession() as session:
        yield ChatCompletions(
            session=session,
            services=services,
            api_url=settings.llm_api_url,
            api_key=settings.llm_api_key,
            model=settings.llm_model,
            timeout_s=settings.llm_timeout,
            **options,
        )
