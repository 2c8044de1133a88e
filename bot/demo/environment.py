"""The environment of a demo: a simulated Telegram and an engine, each a child process, on a temporary database."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tempogram.bot.demo import prices
from tempogram.bot.demo.process import EngineProcess
from tempogram.bot.demo.settings import BOTS, CEILING, GROUP_LIMIT, POLLED, DemoSettings
from tempogram.bot.telegram.tokens import bot_id_of
from tempogram.simulator.client import RunningSimulator, running_simulator

TOKENS = tuple(f"{number}00:demo-bot-{number}" for number in range(1, BOTS + 1))
BOT_IDS = tuple(bot_id_of(token) for token in TOKENS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The running processes and two groups, ``flooded`` and ``friends``, with every bot in both."""

    telegram: RunningSimulator
    engine: EngineProcess
    directory: Path
    flooded: int
    friends: int


@asynccontextmanager
async def environment(settings: DemoSettings) -> AsyncIterator[Environment]:
    """Set the environment up; when the block ends, both processes have ended and the database is deleted."""
    simulator = {
        "group_window_ms": settings.group_window_s * 1_000,
        "group_limit": GROUP_LIMIT,
        "total_limit": CEILING,
        "redelivery_base_ms": 500,
        "redelivery_cap_ms": 500,
    }
    with tempfile.TemporaryDirectory(prefix="tempogram-demo-") as name:
        async with running_simulator(**simulator) as telegram:
            bots = [{"token": token, "username": username(bot_id_of(token))} for token in TOKENS]
            await telegram.call("POST", "bots", bots)
            engine = engine_in(Path(name), telegram.url, settings)
            try:
                await engine.start()
                await set_up_bots(engine)
                yield Environment(
                    telegram=telegram,
                    engine=engine,
                    directory=engine.directory,
                    flooded=await telegram.add_chat("supergroup", "Flooded", bots=BOT_IDS),
                    friends=await telegram.add_chat("supergroup", "Friends", bots=BOT_IDS),
                )
            finally:
                await engine.close()


def engine_in(directory: Path, telegram_url: str, settings: DemoSettings) -> EngineProcess:
    engine = EngineProcess(telegram_url, directory, TOKENS, log_file=directory / "log")
    engine.environment = {
        "PUBLIC_URL": engine.url,
        "TELEGRAM_GROUP_LIMIT": str(GROUP_LIMIT),
        "TELEGRAM_GROUP_LIMIT_WINDOW_S": str(settings.group_window_s),
        "TELEGRAM_GLOBAL_LIMIT": str(CEILING),
        **prices.settings_of(directory),
    }
    return engine


async def set_up_bots(engine: EngineProcess) -> None:
    """Let every bot answer with the user's first name, so that no two answers are the same."""
    answers = {"replies": {"templates": [answer_to("{first_name}")]}}
    for number, bot_id in enumerate(BOT_IDS):
        polled = {"updates": "polling"} if number < POLLED else {}
        await engine.call("PATCH", f"/bots/{bot_id}", {"behaviours": answers} | polled)


def answer_to(first_name: str) -> str:
    return f"{first_name}, I heard you."


def username(bot_id: int) -> str:
    return f"demo_{bot_id}_bot"
