"""News for subscribers: an editor writes one, looks at it, and sends it to all in a loop.

With Tempogram the loop is not needed: ``await tempogram.broadcast(bot, …)`` sends to all chats that a selection means,
each once, whatever process dies meanwhile; see newsletter.py and docs/broadcasts.md.

BOT_TOKEN=123456:ABC-DEF EDITORS=42,43 python -m examples.broadcast
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from aiogram import Bot, Dispatcher, F, Router
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError, TelegramRetryAfter
from aiogram.filters import Command, CommandStart, StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message

log = logging.getLogger("broadcast")

CHUNK = 2


@dataclass(frozen=True)
class Subscribers:
    """The table of those who want the news."""

    path: str

    @contextmanager
    def table(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path)) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS subscribers (chat_id INTEGER PRIMARY KEY, name TEXT)")
            yield db

    def add(self, chat_id: int, name: str) -> bool:
        with self.table() as db:
            return db.execute("INSERT OR IGNORE INTO subscribers VALUES (?, ?)", (chat_id, name)).rowcount > 0

    def remove(self, chat_id: int) -> bool:
        with self.table() as db:
            return db.execute("DELETE FROM subscribers WHERE chat_id = ?", (chat_id,)).rowcount > 0

    def all(self) -> list[int]:
        with self.table() as db:
            return [chat_id for (chat_id,) in db.execute("SELECT chat_id FROM subscribers ORDER BY chat_id")]


class News(StatesGroup):
    text = State()
    sure = State()


subscribers = Subscribers(os.getenv("BROADCAST_DB", "broadcast.db"))
editors = {int(number) for number in os.getenv("EDITORS", "").split(",") if number}

router = Router(name="broadcast")
newsroom = Router(name="newsroom")
newsroom.message.filter(F.from_user.id.in_(editors))
newsroom.callback_query.filter(F.from_user.id.in_(editors))
router.include_router(newsroom)


@newsroom.message(Command("news"))
async def ask_news(message: Message, state: FSMContext) -> None:
    await message.answer("Write the news, or forward it to me.")
    await state.set_state(News.text)


@newsroom.message(News.text)
async def preview(message: Message, state: FSMContext) -> None:
    buttons = [
        InlineKeyboardButton(text=f"Send to {len(subscribers.all())}", callback_data="send"),
        InlineKeyboardButton(text="Throw away", callback_data="drop"),
    ]
    shown = await message.send_copy(message.chat.id)
    await state.update_data(chat_id=shown.chat.id, message_id=shown.message_id)
    await state.set_state(News.sure)
    await message.answer("Shall this go out?", reply_markup=InlineKeyboardMarkup(inline_keyboard=[buttons]))


@newsroom.callback_query(StateFilter(News.sure), F.data == "drop")
async def drop(query: CallbackQuery, state: FSMContext, bot: Bot) -> None:
    data = await state.get_data()
    await bot.delete_message(data["chat_id"], data["message_id"])
    if isinstance(query.message, Message):
        await query.message.edit_text("It is gone.")
    await query.answer()
    await state.clear()


async def send_one(bot: Bot, chat_id: int, from_chat_id: int, message_id: int) -> bool:
    """Copy the news to one subscriber; one who blocked the bot is taken off the list."""
    while True:
        try:
            await bot.copy_message(chat_id, from_chat_id, message_id)
        except TelegramRetryAfter as error:
            log.warning("too fast, waiting %s s", error.retry_after)
            await asyncio.sleep(error.retry_after)
        except TelegramForbiddenError:
            subscribers.remove(chat_id)
            return False
        except TelegramBadRequest as error:
            log.info("%s was not reached: %s", chat_id, error.message)
            return False
        else:
            return True


@newsroom.callback_query(StateFilter(News.sure), F.data == "send")
async def broadcast(query: CallbackQuery, state: FSMContext, bot: Bot) -> None:
    await query.answer("It goes out …")
    data = await state.get_data()
    status = query.message
    assert isinstance(status, Message)
    everybody = subscribers.all()
    reached = 0
    for first in range(0, len(everybody), CHUNK):
        chunk = everybody[first : first + CHUNK]
        results = await asyncio.gather(
            *(send_one(bot, chat_id, data["chat_id"], data["message_id"]) for chat_id in chunk)
        )
        reached += sum(results)
        if first + CHUNK < len(everybody):
            await status.edit_text(f"{first + CHUNK} of {len(everybody)} …")
    await status.edit_text(f"Sent to {reached} of {len(everybody)}.")
    await state.clear()


@router.message(CommandStart())
async def subscribe(message: Message) -> None:
    is_new = subscribers.add(message.chat.id, message.chat.full_name)
    await message.answer("You get the news now; /stop ends it." if is_new else "You get the news already.")


@router.message(Command("stop"))
async def unsubscribe(message: Message) -> None:
    await message.answer("No more news." if subscribers.remove(message.chat.id) else "You got none.")


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    bot = Bot(token=os.environ["BOT_TOKEN"])
    dispatcher = Dispatcher()
    dispatcher.include_routers(router)
    await dispatcher.start_polling(bot, handle_signals=True)


if __name__ == "__main__":
    asyncio.run(main())
