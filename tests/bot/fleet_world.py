"""Bots that a simulated Telegram knows, and a real database that keeps them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from tempogram.bot.behaviours import own
from tempogram.bot.behaviours.registry import Behaviours
from tempogram.bot.fleet.bot_objects import Defaults
from tempogram.bot.fleet.fleet import Fleet
from tempogram.bot.fleet.token_rate_limit import TokenRateLimit
from tempogram.bot.updates.source_health import SourceHealth
from tempogram.bot.updates.webhooks import Webhooks
from tempogram.engine.channels.memory_changes import MemoryChanges
from tempogram.engine.ports.changes import Changes
from tempogram.engine.resilience.conditions import Conditions
from tempogram.simulator import Simulator, SimulatorSettings
from tempogram.simulator.world.world import Webhook
from tempogram.storage.bots import Bots, Source
from tempogram.storage.database.database import Database
from tempogram.storage.keys import Seal
from tests.bot.fakes import TOKEN
from tests.fakes import Clock

CALLS_END_WITHIN_MS = 30_000
HERE = "http://127.0.0.1:1"
OTHER = "43:AAF1kZq-3nT0k3nT0k3nT0k3nT0k3nT0k3n"
ECHO: dict[str, Any] = {"echo": {}}


@dataclass
class World:
    """``slept``: every sleep, in seconds; each lets the clock advance instead of taking time."""

    simulator: Simulator
    bots: Bots
    new_fleet: Callable[..., Fleet]
    clock: Clock
    slept: list[float] = field(default_factory=list)
    paused: list[int] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(round(seconds * 1_000))
        await asyncio.sleep(0)

    def webhooks(self, fleet: Fleet, *, public_url: str = HERE, allowed_updates: Sequence[str] = ()) -> Webhooks:
        conditions = Conditions(self.clock)
        return Webhooks(
            registry=fleet.registry,
            public_url=public_url,
            allowed_for=lambda _: list(allowed_updates),
            pause_revoked=self.pause_revoked,
            health=SourceHealth(conditions),
            conditions=conditions,
            clock=self.clock,
            sleep=self.sleep,
        )

    async def pause_revoked(self, bot_id: int, _token: str | None) -> bool:
        """See ``RevokedTokens.pause``."""
        self.paused.append(bot_id)
        return True

    def hook(self, bot_id: int) -> Webhook | None:
        """Return what Telegram has."""
        return self.simulator.telegram.world.bots[bot_id].webhook

    def calls(self, method: str) -> int:
        return self.simulator.report().by_method.get(method, 0)

    async def restarted(self, default: Source = Source.WEBHOOK) -> Fleet:
        fleet = self.new_fleet(default)
        await fleet.load()
        return fleet


@asynccontextmanager
async def fleet_world(database: Database, clock: Clock) -> AsyncIterator[World]:
    simulator = Simulator(SimulatorSettings(accept_any_token=False, any_webhook_url=True, webhook_limit=0))
    simulator.add_bot(TOKEN, "the_bot")
    bots = Bots(database, Seal("a-key-of-at-least-32-characters!"))
    async with simulator.serve() as served:
        direct = AiohttpSession(api=TelegramAPIServer.from_base(served.url))

        echoing = Behaviours(own.load(["tempogram.bot.behaviours.echo"]))

        def new_fleet(
            default: Source = Source.WEBHOOK,
            *,
            changes: Changes | None = None,
            defaults: dict[str, Any] | None = None,
            behaviours: Behaviours = echoing,
        ) -> Fleet:
            return Fleet(
                bots=bots,
                session=direct,
                behaviours=behaviours,
                defaults=Defaults(defaults or {}),
                default_source=default,
                token_rate_limit=TokenRateLimit(clock=clock, windows=()),
                changes=changes or MemoryChanges(),
                calls_end_within_ms=CALLS_END_WITHIN_MS,
                conditions=Conditions(clock),
                clock=clock,
                sleep=world.sleep,
            )

        world = World(simulator, bots, new_fleet, clock)
        yield world
        await direct.close()
