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
from tempogram.bot.generator.conversation import Author
from tempogram.bot.generator.fallback import Fallback
from tempogram.bot.generator.templates import Templates
from tempogram.bot.telegram import session
from tempogram.bot.telegram.attachments import Attachments
from tempogram.bot.telegram.composer import MethodComposer
from tempogram.bot.telegram.session import Gateway
from tempogram.bot.updates.allowed_updates import allowed_updates
from tempogram.bot.updates.handler_pool import Pool
from tempogram.bot.updates.intake import UpdateIntake
from tempogram.bot.updates.poller import Poller
from tempogram.bot.updates.reachability import Presence
from tempogram.bot.updates.recorder import Notes
from tempogram.bot.updates.sources import Feeds
from tempogram.bot.updates.webhooks import Webhooks
from tempogram.bot.wiring.engine import Engine
from tempogram.bot.wiring.storage import Books
from tempogram.bot.wiring.telegram import Line
from tempogram.engine.model.ids import Ids
from tempogram.engine.ports import Clock
from tempogram.storage.files.spool import Spool

HANDLERS_MAX = 200
"""Handlers that run at once. A guess; most of them wait for an answer."""

UPDATES_WAITING_MAX = 20_000
"""Updates that may wait for a handler before the webhook asks Telegram to come again. A guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """What comes in, and who answers it."""

    composer: MethodComposer
    attachments: Attachments
    spool: Spool
    handlers: AiogramDispatcher
    intake: UpdateIntake
    pool: Pool
    feeds: Feeds


@contextmanager
def talk_of(
    settings: Settings,
    kept: Books,
    line: Line,
    engine: Engine,
    generator: TextGenerator,
    own_routers: Sequence[Router],
    ids: Ids,
    clock: Clock,
) -> Iterator[Talk]:
    """Put the behaviours together; until the block ends, every ``Bot`` that is built speaks through the engine."""
    composer = MethodComposer(clock=clock, ids=ids, may_pay=settings.telegram_paid_stars_cap > 0)
    spool = Spool(settings.data_dir, settings.upload_bytes_max)
    attachments = Attachments(kept.uploads, spool)
    gateway = Gateway(
        dispatcher=engine.dispatcher,
        composer=composer,
        attachments=attachments,
        results=engine.results,
        tokens=line.fleet,
        wait_s=settings.telegram_rate_limit_wait,
    )
    author = Author(
        generator,
        texts=kept.texts if settings.keep_texts_ms else None,
        keep_ms=settings.keep_texts_ms,
        clock=clock,
    )
    handlers = AiogramDispatcher(author=author)
    handlers.include_routers(*own_routers, behaviours.router())
    pool = Pool(size=HANDLERS_MAX, waiting_max=UPDATES_WAITING_MAX)
    intake = UpdateIntake(
        updates=kept.updates,
        fleet=line.fleet,
        dispatcher=handlers,
        gateway=gateway,
        pool=pool,
        conditions=engine.conditions,
        clock=clock,
        notes=Notes(
            history=kept.history,
            chats=kept.chats,
            presence=Presence(chats=kept.chats, reach=engine.reach),
            author=author,
            ids=ids,
        ),
    )
    remove = session.install(gateway)
    try:
        yield Talk(
            composer=composer,
            attachments=attachments,
            spool=spool,
            handlers=handlers,
            intake=intake,
            pool=pool,
            feeds=feeds_of(settings, line, intake, allowed_updates(handlers), clock),
        )
    finally:
        remove()


def feeds_of(settings: Settings, line: Line, intake: UpdateIntake, kinds: Sequence[str], clock: Clock) -> Feeds:
    return Feeds(
        fleet=line.fleet,
        webhooks=Webhooks(roster=line.fleet.roster, public_url=settings.public_url, allowed_updates=kinds, clock=clock),
        poller_for=lambda bot_id: Poller(
            bot_id=bot_id,
            session=line.polls,
            api_url=settings.telegram_api_url,
            token_of=line.fleet.roster.token_of,
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
