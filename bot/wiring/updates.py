"""What comes in, and who answers it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import aiohttp
from aiogram import Dispatcher as AiogramDispatcher
from aiogram import Router

from tempogram.bot import behaviours
from tempogram.bot.config.settings import Settings
from tempogram.bot.generator import TextGenerator
from tempogram.bot.generator.chat_completions import ChatCompletions
from tempogram.bot.generator.conversation import ConversationWriter
from tempogram.bot.generator.templates import Fallback, Templates
from tempogram.bot.telegram import session
from tempogram.bot.telegram.attachments import Attachments
from tempogram.bot.telegram.composer import MethodComposer
from tempogram.bot.telegram.session import Gateway
from tempogram.bot.updates.handler_pool import HandlerPool
from tempogram.bot.updates.intake import UpdateIntake
from tempogram.bot.updates.poller import Poller
from tempogram.bot.updates.reachability import ReachabilityObserver
from tempogram.bot.updates.recorder import Recorder
from tempogram.bot.updates.sources import UpdateSources, allowed_updates
from tempogram.bot.updates.webhooks import Webhooks
from tempogram.bot.wiring.engine import Engine
from tempogram.bot.wiring.storage import Storage
from tempogram.bot.wiring.telegram import Telegram
from tempogram.engine.model.ids import Ids
from tempogram.engine.ports import Clock
from tempogram.storage.files.spool import Spool

HANDLERS_MAX = 200
"""Handlers that run at once. A guess; most of them wait for an answer."""

UPDATES_WAITING_MAX = 20_000
"""Updates that may wait for a handler before the webhook asks Telegram to come again. A guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateHandling:
    """What comes in, and who answers it."""

    composer: MethodComposer
    attachments: Attachments
    spool: Spool
    handlers: AiogramDispatcher
    intake: UpdateIntake
    pool: HandlerPool
    update_sources: UpdateSources


@contextmanager
def updates_of(
    settings: Settings,
    storage: Storage,
    telegram: Telegram,
    engine: Engine,
    generator: TextGenerator,
    own_routers: Sequence[Router],
    ids: Ids,
    clock: Clock,
) -> Iterator[UpdateHandling]:
    """Put the behaviours together; until the block ends, every ``Bot`` that is built speaks through the engine."""
    composer = MethodComposer(clock=clock, ids=ids, may_pay=settings.telegram_paid_stars_cap > 0)
    spool = Spool(settings.data_dir, settings.upload_bytes_max)
    attachments = Attachments(storage.uploads, spool)
    gateway = Gateway(
        dispatcher=engine.dispatcher,
        composer=composer,
        attachments=attachments,
        results=engine.results,
        tokens=telegram.fleet,
        wait_s=settings.telegram_rate_limit_wait,
    )
    conversation_writer = ConversationWriter(
        generator,
        texts=storage.texts if settings.keep_texts_ms else None,
        keep_ms=settings.keep_texts_ms,
        clock=clock,
    )
    handlers = AiogramDispatcher(conversation_writer=conversation_writer)
    handlers.include_routers(*own_routers, behaviours.router())
    pool = HandlerPool(size=HANDLERS_MAX, waiting_max=UPDATES_WAITING_MAX)
    intake = UpdateIntake(
        updates=storage.updates,
        fleet=telegram.fleet,
        dispatcher=handlers,
        gateway=gateway,
        pool=pool,
        conditions=engine.conditions,
        clock=clock,
        recorder=Recorder(
            history=storage.history,
            chats=storage.chats,
            reachability=ReachabilityObserver(chats=storage.chats, reachability=engine.reachability),
            conversation_writer=conversation_writer,
            ids=ids,
        ),
    )
    remove = session.install(gateway)
    try:
        yield UpdateHandling(
            composer=composer,
            attachments=attachments,
            spool=spool,
            handlers=handlers,
            intake=intake,
            pool=pool,
            update_sources=update_sources_of(settings, telegram, intake, allowed_updates(handlers), clock),
        )
    finally:
        remove()


def update_sources_of(
    settings: Settings, telegram: Telegram, intake: UpdateIntake, kinds: Sequence[str], clock: Clock
) -> UpdateSources:
    return UpdateSources(
        fleet=telegram.fleet,
        webhooks=Webhooks(
            registry=telegram.fleet.registry, public_url=settings.public_url, allowed_updates=kinds, clock=clock
        ),
        poller_for=lambda bot_id: Poller(
            bot_id=bot_id,
            session=telegram.polls,
            api_url=settings.telegram_api_url,
            token_of=telegram.fleet.registry.token_of,
            intake=intake,
            allowed_updates=kinds,
        ),
    )


@asynccontextmanager
async def text_generator(settings: Settings) -> AsyncIterator[TextGenerator]:
    """Lend the one that the settings name: templates, or a server, and templates for when it fails."""
    if not settings.llm_api_url:
        yield Templates()
        return
    # Connections of its own: a slow server must not take those to Telegram.
    async with aiohttp.ClientSession() as session:
        yield Fallback(
            ChatCompletions(
                session=session,
                api_url=settings.llm_api_url,
                api_key=settings.llm_api_key,
                model=settings.llm_model,
                timeout_s=settings.llm_timeout,
            ),
            Templates(),
        )
