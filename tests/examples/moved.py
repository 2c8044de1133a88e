"""Runs an example as a behaviour of Tempogram: in this process, or as the real program, which can be killed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tempogram.bot.config.settings import load
from tempogram.bot.runtime.lifecycle import running
from tempogram.bot.wiring import Program, program
from tempogram.engine.model.messages import Priority
from tempogram.simulator.sync_client import Remote
from tests.examples.examples import Example
from tests.examples.plain import subfolder
from tests.examples.talk import EARLIER, GROUP_ID, POLL_S, TOKEN

GROUP_LIMIT = 20


def settings_of(example: Example, telegram_url: str, directory: Path) -> dict[str, str]:
    """Return the environment of a Tempogram that runs an example; only groups have a limit."""
    return {
        "TELEGRAM_API_URL": telegram_url,
        "BOT_TOKENS": TOKEN,
        "BEHAVIOURS": f"examples.{example.name}",
        "DATA_DIR": str(directory / "data"),
        "TELEGRAM_CHAT_LIMIT": "0",
        "TELEGRAM_BOT_LIMIT": "0",
        "TELEGRAM_GLOBAL_LIMIT": "0",
        "TELEGRAM_GROUP_LIMIT": str(GROUP_LIMIT),
    }


@asynccontextmanager
async def moved(
    example: Example, telegram: Remote, directory: Path, put: Callable[[Mapping[str, str]], None], *, window_s: float
) -> AsyncIterator[Program]:
    """Run an example in this process until the block ends; ``put`` sets environment variables."""
    own_directory = subfolder(directory, "moved")
    async with example.environment(own_directory) as own:
        window = {"TELEGRAM_GROUP_LIMIT_WINDOW_S": str(window_s)}
        put(settings_of(example, telegram.url, own_directory) | window | own)
        async with under_tempogram(example.name) as built:
            yield built


@asynccontextmanager
async def under_tempogram(name: str) -> AsyncIterator[Program]:
    """Run an example until the block ends, by polling; the environment is that of this process."""
    sys.modules.pop(f"examples.{name}", None)  # its router belongs to one dispatcher, and its state to one run
    async with program(load()) as built, running(built):
        sources = built.front.updates.update_sources
        sources.start()
        try:
            await sources.wait_ready()
            yield built
        finally:
            await sources.stop()


async def handlers_ended(built: Program) -> None:
    """Wait until no handler runs or waits: a person who presses a button at once may be quicker than its storage."""
    counts = built.front.updates.pool.counts
    while counts()["running"] or counts()["waiting"]:  # noqa: ASYNC110 - the pool announces nothing
        await asyncio.sleep(POLL_S)


async def fill_group(built: Program, telegram: Remote) -> None:
    """Let the bot write into the group until it may not any more."""
    compose = built.front.updates.composer.compose
    earlier = [
        compose(
            int(TOKEN.partition(":")[0]), GROUP_ID, "sendMessage", {"text": f"{EARLIER}{n}"}, priority=Priority.HIGH
        )
        for n in range(GROUP_LIMIT)
    ]
    await built.engine.dispatcher.submit(earlier)
    await asyncio.to_thread(telegram.wait_for, "sendMessage", times=GROUP_LIMIT)
