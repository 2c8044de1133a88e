"""The parts that serve the Bot API itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tempogram.api.core.dependencies import Door
from tempogram.bot.calls.endings import Endings
from tempogram.bot.calls.place_wait import PlaceWait
from tempogram.bot.door.answers import Answers
from tempogram.bot.door.pass_through import PassThrough, connections
from tempogram.bot.door.tokens import NEW_TOKENS, Tokens
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.fleet.token_rate_limit import TokenRateLimit
from tempogram.bot.updates.shares import Shares
from tempogram.bot.wiring.context import Context
from tempogram.bot.wiring.engine import Engine
from tempogram.bot.wiring.queue import Queue
from tempogram.bot.wiring.storage import Storage
from tempogram.bot.wiring.telegram import is_telegram


@asynccontextmanager
async def door_of(
    context: Context, storage: Storage, queue: Queue, fleet: Fleet, engine: Engine
) -> AsyncIterator[Door | None]:
    """Open the door until the block ends; None if it stays closed in this process."""
    settings, clock = context.settings, context.clock
    if not settings.bot_api_door or not context.role.takes_in:
        yield None
        return
    async with connections(settings.proxy) as session:
        yield Door(
            tokens=Tokens(
                fleet,
                rate_limit=TokenRateLimit(clock=clock, windows=NEW_TOKENS if is_telegram(settings) else ()),
                clock=clock,
            ),
            calls=Answers(),
            endings=Endings(queue.results, storage.ledger.standings),
            telegram=PassThrough(
                session=session,
                api_url=settings.telegram_api_url,
                places=Shares(settings.bot_api_door_connections),
                known_holds=engine.known_holds,
            ),
            gets_updates=fleet.registry.gets_updates,
            place_wait=lambda wait_s: PlaceWait(wait_s=wait_s, call_s=settings.lease_ms / 1_000),
            waiting=Shares(settings.bot_api_door_calls),
            wait_s=settings.bot_api_door_wait,
        )
