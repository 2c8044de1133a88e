"""The whole program in this process, with a simulated Telegram."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiogram import Bot
from pydantic import SecretStr

from tempogram.bot import wiring
from tempogram.bot.config.settings import Settings
from tempogram.bot.runtime.lifecycle import running
from tempogram.bot.wiring import Program
from tempogram.simulator import Simulator, SimulatorSettings
from tests.end_to_end.program import ADMIN_TOKEN, TOKEN
from tests.end_to_end.test_telegram_answers import until

BOT_ID = 42


@dataclass
class Engine:
    """A program that runs, its bot, and Telegram."""

    built: Program
    bot: Bot
    telegram: Simulator

    async def pause(self) -> None:
        """Let everything wait from now on."""
        await self.built.queue.broker.pause(BOT_ID, paused=True)

    async def resume(self) -> None:
        await self.built.queue.broker.pause(BOT_ID, paused=False)

    async def until_sent(self) -> None:
        async def is_empty() -> bool:
            stats = await self.built.queue.broker.stats()
            return not stats.leased and not sum(stats.waiting.values()) + stats.retry

        await until(is_empty)

    def shown(self, chat_id: int) -> list[str]:
        kept = self.telegram.telegram.world.messages.of_chat(chat_id, bot_id=None)
        return [each.get("text") or each.get("caption", "") for each in kept]


@asynccontextmanager
async def started(directory: Path, **others: Any) -> AsyncIterator[Engine]:
    simulator = Simulator(SimulatorSettings(accept_any_token=False))
    simulator.add_bot(TOKEN, "test_bot")
    async with simulator.serve() as served:
        settings = Settings(
            telegram_api_url=served.url,
            bot_tokens=(SecretStr(TOKEN),),
            admin_token=SecretStr(ADMIN_TOKEN),
            data_dir=directory,
            **others,
        )
        async with wiring.program(settings) as built, running(built):
            yield Engine(built, Bot(TOKEN), simulator)
