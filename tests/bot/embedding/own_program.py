"""A user's own aiogram program in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import Update

from tempogram.bot.embedding.tempogram import Tempogram
from tempogram.simulator.sync_client import Remote
from tests.bot.fakes import TOKEN

GROUP_ID = -100_500
GROUP_LIMIT = 20


def bot_at(url: str, token: str = TOKEN) -> Bot:
    return Bot(token, session=AiohttpSession(api=TelegramAPIServer.from_base(url)))


class OwnProgram:
    """Its Dispatcher and its bot, and the words with which it makes a ``Tempogram``."""

    def __init__(self, telegram: Remote, data_dir: Path) -> None:
        self.telegram = telegram
        self.dispatcher = Dispatcher()
        self.remote_bot = telegram.add_bot(TOKEN, "the_bot")
        self.group = telegram.add_chat("supergroup", "Friends", bots=[self.remote_bot], chat_id=GROUP_ID)
        self.anna = telegram.add_user("Anna", user_id=7)
        self.bot = bot_at(telegram.url)
        self.settings = {"data_dir": data_dir, "telegram_api_url": telegram.url, "telegram_chat_limit": 0}
        self._numbers = count(1)

    def tempogram(self, **settings: Any) -> Tempogram:
        return Tempogram(**self.settings | settings)

    def update(self, text: str, *, update_id: int | None = None, chat_id: int = 7, **more: Any) -> Update:
        """Return the next update: a message of Anna's."""
        number = next(self._numbers)
        kind = {"id": chat_id, "type": "private" if chat_id > 0 else "supergroup"}
        message = {
            "message_id": number,
            "date": 1,
            "chat": kind,
            "from": {"id": 7, "is_bot": False, "first_name": "Anna"},
            "text": text,
            **more,
        }
        content = {"update_id": number if update_id is None else update_id, "message": message}
        return Update.model_validate(content, context={"bot": self.bot})

    async def feed(self, update: Update) -> Any:
        return await self.dispatcher.feed_update(self.bot, update)

    def shown(self, chat_id: int = 7) -> list[str]:
        """Return the texts that a chat shows from the bot, in order."""
        return [each["text"] for each in self.telegram.messages(chat_id) if each["from"]["is_bot"]]

    async def until_shown(self, *texts: str, chat_id: int = 7) -> None:
        async with asyncio.timeout(20):
            while sorted(self.shown(chat_id)) != sorted(texts):  # noqa: ASYNC110 - it happens in another thread
                await asyncio.sleep(0.01)

    async def fill_group(self) -> None:
        """Let the bot write into the group until it may not any more."""
        await asyncio.gather(*(self.bot.send_message(GROUP_ID, f"earlier {n}") for n in range(GROUP_LIMIT)))

    @asynccontextmanager
    async def polling(self, **settings: Any) -> AsyncIterator[None]:
        """Run the one line around polling, until the block ends."""
        polls = asyncio.Event()

        @self.dispatcher.startup()
        async def note_start() -> None:
            polls.set()

        async def main() -> None:
            async with self.tempogram(**settings):
                await self.dispatcher.start_polling(self.bot, handle_signals=False)

        running = asyncio.create_task(main())
        waiting = asyncio.create_task(polls.wait())
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
        try:
            yield
        finally:
            waiting.cancel()
            if not running.done():
                await self.dispatcher.stop_polling()
            await running
