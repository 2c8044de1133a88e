"""The bots, and the connections to Telegram."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from aiogram.client.telegram import TelegramAPIServer

from tempogram.bot.behaviours.registry import Behaviours
from tempogram.bot.config.settings import Settings
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.fleet.token_rate_limit import NEW_TOKENS, TokenRateLimit
from tempogram.bot.proxy.sessions import DirectSession, connector_through
from tempogram.bot.telegram.connections import Connections
from tempogram.bot.telegram.defaults import Defaults
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.queue import Queue
from tempogram.bot.wiring.storage import Storage
from tempogram.storage.bots import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Telegram:
    """The bots, and the connections to Telegram."""

    fleet: Fleet
    sends: Connections
    polls: aiohttp.ClientSession


@asynccontextmanager
async def connect_telegram(
    context: Context, storage: Storage, queue: Queue, behaviours: Behaviours
) -> AsyncIterator[Telegram]:
    """Open the connections. Polls have their own, so that a send never waits for one."""
    settings, clock = context.settings, context.clock
    direct = DirectSession(settings.proxy, api=TelegramAPIServer.from_base(settings.telegram_api_url))
    fleet = Fleet(
        bots=storage.bots,
        session=direct,
        behaviours=behaviours,
        defaults=Defaults(settings.bot_defaults()),
        default_source=Source.WEBHOOK if settings.public_url else Source.POLLING,
        token_rate_limit=TokenRateLimit(clock=clock, windows=NEW_TOKENS if is_telegram(settings) else ()),
        changes=queue.changes,
        calls_end_within_ms=settings.lease_ms,
        conditions=queue.conditions,
        clock=clock,
    )
    try:
        async with (
            Connections(settings.telegram_api_url, settings.proxy) as sends,
            aiohttp.ClientSession(connector=connector_through(settings.proxy, limit=0)) as polls,
        ):
            yield Telegram(fleet=fleet, sends=sends, polls=polls)
    finally:
        await direct.close()


def is_telegram(settings: Settings) -> bool:
    """Tell whether the Bot API is Telegram's own, not a self-hosted or simulated one."""
    return urlsplit(settings.telegram_api_url).hostname == "api.telegram.org"
