"""The bots, and the connections on which is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tempogram.bot.config.settings import Settings
from tempogram.bot.fleet.fleet_reader import FleetReader
from tempogram.bot.telegram.connections import Connections
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.queue import Queue
from tempogram.bot.wiring.storage import Storage
from tempogram.storage.bots import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Telegram:
    """The bots, and the connections on which is sent."""

    bots: FleetReader
    sends: Connections


@asynccontextmanager
async def connect_telegram(context: Context, bots: FleetReader) -> AsyncIterator[Telegram]:
    """Open the connections. Polls have their own, so that a send never waits for one."""
    async with Connections(context.settings.telegram_api_url, context.settings.proxy) as sends:
        yield Telegram(bots=bots, sends=sends)


def reader_of(context: Context, storage: Storage, queue: Queue) -> FleetReader:
    """Return what a process that only sends knows of the bots."""
    return FleetReader(
        bots=storage.bots,
        default_source=default_source(context.settings),
        changes=queue.changes,
        calls_end_within_ms=context.settings.lease_ms,
        conditions=queue.conditions,
        clock=context.clock,
    )


def default_source(settings: Settings) -> Source:
    return Source.WEBHOOK if settings.public_url else Source.POLLING


def is_telegram(settings: Settings) -> bool:
    """Tell whether the Bot API is Telegram's own, not a self-hosted or simulated one."""
    return urlsplit(settings.telegram_api_url).hostname == "api.telegram.org"
