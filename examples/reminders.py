"""Reminds at a time: /remind 10m tea. APScheduler runs inside the bot; what is due stands in SQLite.

BOT_TOKEN=123456:ABC-DEF python -m examples.reminders
"""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from aiogram import Bot, Dispatcher, F, Router
from aiogram.exceptions import TelegramForbiddenError
from aiogram.filters import Command, CommandObject
from aiogram.filters.callback_data import CallbackData
from aiogram.types import BotCommand, CallbackQuery, Message
from aiogram.utils.keyboard import InlineKeyboardBuilder
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
LATE_S = 3_600

router = Router(name="reminders")


class Action(CallbackData, prefix="reminder"):
    what: str
    number: int


class Reminders:
    """The table of reminders; a row is there until its message is sent."""

    def __init__(self, path: str) -> None:
        self.path = path

    @contextmanager
    def table(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path)) as db, db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS reminders"
                " (id INTEGER PRIMARY KEY, chat, message, due, text, UNIQUE (chat, message))"
            )
            yield db

    def add(self, message: Message, due: datetime, text: str) -> int:
        row = (message.chat.id, message.message_id, due.timestamp(), text)
        with self.table() as db:
            db.execute("INSERT OR IGNORE INTO reminders (chat, message, due, text) VALUES (?, ?, ?, ?)", row)
            (number,) = db.execute("SELECT id FROM reminders WHERE chat = ? AND message = ?", row[:2]).fetchone()
        return int(number)

    def remove(self, number: int) -> bool:
        with self.table() as db:
            return db.execute("DELETE FROM reminders WHERE id = ?", (number,)).rowcount > 0

    def waiting(self) -> list[tuple[int, int, float, str]]:
        with self.table() as db:
            return db.execute("SELECT id, chat, due, text FROM reminders ORDER BY due").fetchall()


reminders = Reminders(os.getenv("REMINDERS_DB", "reminders.db"))


async def remind(number: int, chat_id: int, text: str, *, bot: Bot) -> None:
    builder = InlineKeyboardBuilder()
    builder.button(text="Thanks", callback_data=Action(what="done", number=number))
    with suppress(TelegramForbiddenError):
        await bot.send_message(chat_id, f"⏰ {text}", reply_markup=builder.as_markup())
    reminders.remove(number)


def schedule(scheduler: AsyncIOScheduler, bot: Bot, number: int, chat_id: int, due: datetime, text: str) -> None:
    scheduler.add_job(
        partial(remind, bot=bot),
        "date",
        run_date=due,
        args=(number, chat_id, text),
        id=f"reminder-{number}",
        replace_existing=True,
        misfire_grace_time=LATE_S,
    )


def delay_of(text: str) -> tuple[timedelta, str] | None:
    match = re.fullmatch(r"(\d+)([smhd])\s+(.+)", text, re.DOTALL)
    if match is None:
        return None
    return timedelta(**{UNITS[match[2]]: int(match[1])}), match[3]


@router.message(Command("remind"))
async def add(message: Message, command: CommandObject, scheduler: AsyncIOScheduler, bot: Bot) -> None:
    parsed = delay_of(command.args or "")
    if parsed is None:
        await message.reply("Write it like this: /remind 10m tea")
        return
    delay, text = parsed
    due = datetime.now(UTC) + delay
    number = reminders.add(message, due, text)
    builder = InlineKeyboardBuilder().button(text="Forget it", callback_data=Action(what="forget", number=number))
    await message.answer(f"I will remind you of {text}.", reply_markup=builder.as_markup())
    schedule(scheduler, bot, number, message.chat.id, due, text)


@router.message(Command("list"))
async def show(message: Message) -> None:
    lines = [f"• {text}" for _, chat_id, _, text in reminders.waiting() if chat_id == message.chat.id]
    await message.answer("\n".join(lines) or "Nothing is due.")


@router.callback_query(Action.filter(F.what == "forget"))
async def forget(query: CallbackQuery, callback_data: Action, scheduler: AsyncIOScheduler) -> None:
    with suppress(JobLookupError):
        scheduler.remove_job(f"reminder-{callback_data.number}")
    is_known = reminders.remove(callback_data.number)
    if isinstance(query.message, Message):
        await query.message.edit_text("Forgotten." if is_known else "That was sent already.")
    await query.answer()


@router.callback_query(Action.filter(F.what == "done"))
async def done(query: CallbackQuery) -> None:
    if isinstance(query.message, Message):
        await query.message.edit_reply_markup()
    await query.answer("You are welcome")


async def on_startup(dispatcher: Dispatcher, bot: Bot) -> None:
    scheduler = dispatcher["scheduler"]
    scheduler.start()
    await bot.set_my_commands(
        [BotCommand(command="remind", description="Remind me"), BotCommand(command="list", description="What is due")]
    )
    for number, chat_id, due, text in reminders.waiting():
        schedule(scheduler, bot, number, chat_id, max(datetime.fromtimestamp(due, UTC), datetime.now(UTC)), text)


async def on_shutdown(scheduler: AsyncIOScheduler) -> None:
    scheduler.shutdown(wait=False)


def setup(dispatcher: Dispatcher) -> None:
    dispatcher["scheduler"] = AsyncIOScheduler(timezone=UTC)
    dispatcher.startup.register(on_startup)
    dispatcher.shutdown.register(on_shutdown)


async def main() -> None:
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    setup(dispatcher)
    await dispatcher.start_polling(Bot(os.environ["BOT_TOKEN"]))


if __name__ == "__main__":
    asyncio.run(main())
