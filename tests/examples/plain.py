"""Runs an example as its author does: its own ``main()``, aiogram's polling, and a Telegram that answers elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

from aiogram import Dispatcher
from aiogram.client.telegram import PRODUCTION

from tempogram.simulator.settings import SimulatorSettings
from tempogram.simulator.sync_client import served_in_thread
from tests.examples.examples import Example
from tests.examples.talk import Talk, Transcript

POLL_S = 0.005
START_TIMEOUT_S = 20
NO_LIMITS = SimulatorSettings(private_limit=0, group_limit=0, bot_limit=0)


HELD: dict[Example, Transcript] = {}
"""The conversations that this process has held; they are the same each time."""


async def held_plainly(example: Example, directory: Path, put: Callable[[Mapping[str, str]], None]) -> Transcript:
    """Hold the conversation with the example as its author runs it; ``put`` sets environment variables."""
    if example not in HELD:
        HELD[example] = await _held(example, directory, put)
    return HELD[example]


async def _held(example: Example, directory: Path, put: Callable[[Mapping[str, str]], None]) -> Transcript:
    with served_in_thread(NO_LIMITS) as telegram:
        talk = Talk.begin(telegram, in_group=example.in_group)
        async with example.environment(subfolder(directory, "plain")) as own:
            put({"BOT_TOKEN": talk.bot.token, **own})
            async with plain(example.name, telegram.url) as talk.idle:
                await example.converse(talk)
                return talk.transcript()


def subfolder(directory: Path, name: str) -> Path:
    """Make a folder for one run's files."""
    made = directory / name
    made.mkdir(exist_ok=True)
    return made


@asynccontextmanager
async def plain(name: str, telegram_url: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Run ``examples/<name>.py`` until the block ends; yields what waits until no handler runs."""
    module = freshly_imported(name)
    with telegram_at(telegram_url):
        running = asyncio.create_task(module.main())
        try:
            dispatcher = await started(module, running)
            yield lambda: handlers_done(dispatcher)
            await dispatcher.stop_polling()
            await running
        finally:
            running.cancel()
            await asyncio.wait([running])


def freshly_imported(name: str) -> ModuleType:
    """Import an example anew: its router belongs to one dispatcher, and its state to one run."""
    sys.modules.pop(f"examples.{name}", None)
    return import_module(f"examples.{name}")


@contextmanager
def telegram_at(url: str) -> Iterator[None]:
    """Let every ``Bot`` of this process speak to another Bot API than Telegram's own."""
    was = {"base": PRODUCTION.base, "file": PRODUCTION.file}
    try:
        for field, value in {
            "base": f"{url}/bot{{token}}/{{method}}",
            "file": f"{url}/file/bot{{token}}/{{path}}",
        }.items():
            object.__setattr__(PRODUCTION, field, value)
        yield
    finally:
        for field, value in was.items():
            object.__setattr__(PRODUCTION, field, value)


async def started(module: ModuleType, running: asyncio.Task[None]) -> Dispatcher:
    """Wait until the example polls, and return its dispatcher."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while not running.done():
            root = module.router
            while root.parent_router is not None:
                root = root.parent_router
            if isinstance(root, Dispatcher) and root._running_lock.locked():
                return root
            await asyncio.sleep(POLL_S)
    await running
    raise RuntimeError(f"{module.__name__} ended by itself")


async def handlers_done(dispatcher: Dispatcher) -> None:
    while tasks := set(dispatcher._handle_update_tasks):
        await asyncio.wait(tasks)
