"""Users who go quiet, the whole program in this process, and a clock on which weeks pass in a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from tempogram.bot import wiring
from tempogram.bot.config.settings import Settings
from tempogram.bot.runtime.lifecycle import running
from tempogram.bot.wiring import Program
from tempogram.simulator import Simulator, SimulatorSettings
from tempogram.simulator.world.world import User
from tests.end_to_end.program import ADMIN_TOKEN, TOKEN
from tests.end_to_end.test_telegram_answers import until

BOT_ID = 42
QUARTER_MS = 15 * 60_000
DAY_MS = 96 * QUARTER_MS
TASK = "tempogram.reengagement"


class Calendar:
    """The clock of the program: it goes as any clock, and is set forward in leaps."""

    def __init__(self, starts: str) -> None:
        self._ahead_ms = round(datetime.fromisoformat(starts).timestamp() * 1_000) - _real_ms()

    def __call__(self) -> int:
        return _real_ms() + self._ahead_ms

    def leap(self, ms: int) -> None:
        self._ahead_ms += ms


def _real_ms() -> int:
    return time.monotonic_ns() // 1_000_000


@dataclass
class QuietUsers:
    """The program, Telegram, and the calendar."""

    built: Program
    telegram: Simulator
    calendar: Calendar
    bot: Any
    users: dict[str, User] = field(default_factory=dict)

    async def says(self, name: str, text: str) -> None:
        """Let a user write to the bot, and wait for the answer: a later leap would find it under way."""
        user = self.users.get(name) or self.users.setdefault(name, self.telegram.add_user(name))
        before = len(self.got(name))
        user.says(self.bot, text)

        async def is_answered() -> bool:
            return len(self.got(name)) > before

        await until(is_answered)
        await self.until_sent()

    async def pass_days(self, days: int) -> None:
        await self.pass_quarters(days * 96)

    async def pass_quarters(self, quarters: int) -> None:
        """Let so many quarters of an hour pass; each wakes the task, as its cron does."""
        for _ in range(quarters):
            self.calendar.leap(QUARTER_MS)
            await self.built.front.tasks[TASK].work()
            await self.until_sent()

    async def until_sent(self) -> None:
        async def is_empty() -> bool:
            stats = await self.built.queue.broker.stats()
            return not stats.leased and not sum(stats.waiting.values()) + stats.retry

        await until(is_empty)

    def got(self, name: str) -> list[str]:
        """Return the texts of the bot to a user."""
        kept = self.telegram.telegram.world.messages.of_chat(self.users[name].user_id, bot_id=None)
        return [each["text"] for each in kept if each["from"]["is_bot"]]


@asynccontextmanager
async def quiet_users(
    directory: Path, *, starts: str, behaviours: dict[str, Any], **settings: Any
) -> AsyncIterator[QuietUsers]:
    """Run everything until the block ends."""
    simulator, calendar = Simulator(SimulatorSettings(accept_any_token=False)), Calendar(starts)
    bot = simulator.add_bot(TOKEN, "test_bot")
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(simulator.serve())
        chosen = Settings(
            telegram_api_url=served.url,
            bot_tokens=(SecretStr(TOKEN),),
            admin_token=SecretStr(ADMIN_TOKEN),
            data_dir=directory,
            **settings,
        )
        built = await stack.enter_async_context(wiring.program(chosen, clock=calendar))
        await stack.enter_async_context(running(built))
        await built.front.fleet.change(BOT_ID, behaviours=behaviours)
        built.front.updates.update_sources.start()
        stack.push_async_callback(built.front.updates.update_sources.stop)
        yield QuietUsers(built, simulator, calendar, bot)


@dataclass
class ModelServer:
    """A server of chat completions that fails or takes its time, and counts.

    Attributes:
        status: What it answers; 200 with a text.
        seconds: How long it takes.
        began_s: When each request came.
        at_once_max: How many it had at the same time.
    """

    url: str = ""
    status: int = 200
    seconds: float = 0.0
    began_s: list[float] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)
    at_once: int = 0
    at_once_max: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.began_s.append(time.monotonic())
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            self.asked.append(await request.json())
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        text = f"written {len(self.began_s)}"
        return web.json_response({"choices": [{"message": {"content": text}}]}, status=self.status)


@asynccontextmanager
async def model_server() -> AsyncIterator[ModelServer]:
    server, app = ModelServer(), web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
