"""An ordinary aiogram program with the one line, as its author starts it: ``python -m tests.end_to_end.own_program``.

It repeats each text. ``many N`` is answered with N messages, each awaited in a task of its own; ``slow`` sleeps.
The first argument says how it runs: ``polling`` (the one line around it), ``attached`` (aiogram has the event loop,
which is uvloop's) or ``asyncio`` (the same with asyncio's own).
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiogram import Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import Message

from tempogram import Tempogram
from tests.end_to_end.program import Program, started

TOKEN = "42:token-of-the-test-bot"

log = logging.getLogger("own_program")
router = Router()


@router.message(F.text.startswith("many "))
async def answer_often(message: Message) -> None:
    async def answer(number: int) -> None:
        await message.answer(f"{message.text} no. {number}")

    await asyncio.gather(*map(answer, range(int((message.text or "").split()[1]))))


@router.message(F.text == "slow")
async def sleep(message: Message) -> None:
    await asyncio.sleep(600)
    await message.answer("awake")


@router.message()
async def repeat(message: Message) -> None:
    await message.answer(message.text or "?")


@router.shutdown()
async def say_goodbye() -> None:
    log.info("shutdown hook")


def main(way: str) -> None:
    logging.basicConfig(level=logging.INFO)
    bot = Bot(
        os.environ["BOT_TOKENS"],
        session=AiohttpSession(api=TelegramAPIServer.from_base(os.environ["TELEGRAM_API_URL"])),
    )
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    if way == "polling":
        asyncio.run(polling(dispatcher, bot))
    else:
        Tempogram().attach(dispatcher)
        if way == "attached":
            dispatcher.run_polling(bot)
        else:
            asyncio.run(dispatcher.start_polling(bot))
    log.info("ended")


async def polling(dispatcher: Dispatcher, bot: Bot) -> None:
    async with Tempogram():
        await dispatcher.start_polling(bot)


class OwnProgram(Program):
    """The same as a child process: started, killed and started again on the same database."""

    kind = "own"
    starts = 0

    @property
    def module(self) -> tuple[str, ...]:
        return "tests.end_to_end.own_program", self.role

    async def start(self) -> None:
        self.starts += 1
        await super().start()

    async def _answers(self) -> bool:
        assert self.process.returncode is None, self.output.read_text()
        return self.output.read_text().count("Start polling") == self.starts


@asynccontextmanager
async def own_program(
    directory: Path, telegram_url: str, way: str = "polling", **environment: str
) -> AsyncIterator[OwnProgram]:
    """Run it until the block ends."""
    async with started(OwnProgram(directory, role=way, TELEGRAM_API_URL=telegram_url, **environment)) as running:
        yield running


if __name__ == "__main__":
    main(sys.argv[1])
