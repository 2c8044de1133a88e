"""A group's moderator: a button for newcomers, bad words, warnings, /mute, /del and /report.

BOT_TOKEN=123456:ABC-DEF python -m examples.moderation
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any

from aiogram import Bot, Dispatcher, F, Router
from aiogram.enums import ChatMemberStatus, ChatType
from aiogram.exceptions import TelegramBadRequest
from aiogram.filters import Command, CommandObject, ExceptionTypeFilter, Filter
from aiogram.types import (
    CallbackQuery,
    ChatPermissions,
    ErrorEvent,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    User,
)

logger = logging.getLogger(__name__)

BAD_WORDS = {"casino", "viagra"}
WARNINGS_MAX = 3
NOTICE_S = 0.5
SILENCED = ChatPermissions(can_send_messages=False)
FREE = ChatPermissions(can_send_messages=True)

router = Router(name="moderation")
router.message.filter(F.chat.type.in_({ChatType.GROUP, ChatType.SUPERGROUP}))


class IsAdmin(Filter):
    """Passes administrators, and hands the member to the handler."""

    async def __call__(self, message: Message, bot: Bot) -> bool | dict[str, Any]:
        if message.from_user is None:
            return False
        member = await bot.get_chat_member(message.chat.id, message.from_user.id)
        if member.status not in {ChatMemberStatus.CREATOR, ChatMemberStatus.ADMINISTRATOR}:
            return False
        return {"admin": member.user}


class HasBadWord(Filter):
    async def __call__(self, message: Message) -> bool:
        words = (message.text or message.caption or "").lower().split()
        return not BAD_WORDS.isdisjoint(words)


class Warnings:
    """Remembers each warning by the message that it was for, so that one is never counted twice."""

    def __init__(self, path: str) -> None:
        self.path = path

    def add(self, chat_id: int, user_id: int, message_id: int) -> int:
        with closing(sqlite3.connect(self.path)) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS warnings (chat, user, message, PRIMARY KEY (chat, user, message))")
            db.execute("INSERT OR IGNORE INTO warnings VALUES (?, ?, ?)", (chat_id, user_id, message_id))
            return len(db.execute("SELECT * FROM warnings WHERE (chat, user) = (?, ?)", (chat_id, user_id)).fetchall())

    def forget(self, chat_id: int, user_id: int) -> None:
        with closing(sqlite3.connect(self.path)) as db, db:
            db.execute("DELETE FROM warnings WHERE (chat, user) = (?, ?)", (chat_id, user_id))


warnings = Warnings(os.getenv("MODERATION_DB", "moderation.db"))


async def vanish(message: Message, after_s: float = NOTICE_S) -> None:
    await asyncio.sleep(after_s)
    with suppress(TelegramBadRequest):
        await message.delete()


async def warn(message: Message, user: User, message_id: int, bot: Bot) -> None:
    count = warnings.add(message.chat.id, user.id, message_id)
    if count < WARNINGS_MAX:
        await message.answer(f"{user.first_name}, this is warning {count} of {WARNINGS_MAX}.")
        return
    await bot.restrict_chat_member(message.chat.id, user.id, SILENCED, until_date=timedelta(hours=1))
    await message.answer(f"{user.first_name} has been warned {WARNINGS_MAX} times and is silent for an hour.")
    warnings.forget(message.chat.id, user.id)


@router.message(F.new_chat_members)
async def welcome(message: Message, bot: Bot) -> None:
    for member in message.new_chat_members or []:
        await bot.restrict_chat_member(message.chat.id, member.id, SILENCED)
        button = InlineKeyboardButton(text="I am human", callback_data=f"human:{member.id}")
        await message.reply(
            f"Welcome, {member.first_name}! Press the button to write here.",
            reply_markup=InlineKeyboardMarkup(inline_keyboard=[[button]]),
        )


@router.callback_query(F.data.startswith("human:"))
async def is_human(query: CallbackQuery, bot: Bot) -> None:
    if query.data != f"human:{query.from_user.id}":
        await query.answer("This button is not for you.", show_alert=True)
        return
    if isinstance(query.message, Message):
        await bot.restrict_chat_member(query.message.chat.id, query.from_user.id, FREE)
        await query.message.edit_text(f"{query.from_user.first_name} is one of us now.")
    await query.answer("Have fun!")


@router.message(Command("warn"), IsAdmin(), F.reply_to_message.from_user.as_("culprit"))
async def warn_by_hand(message: Message, culprit: User, bot: Bot) -> None:
    assert message.reply_to_message is not None
    await warn(message, culprit, message.reply_to_message.message_id, bot)


@router.message(Command("mute"), IsAdmin(), F.reply_to_message.from_user.as_("culprit"))
async def mute(message: Message, culprit: User, command: CommandObject, admin: User) -> None:
    minutes = int(command.args) if command.args and command.args.isdecimal() else 5
    await message.chat.restrict(culprit.id, SILENCED, until_date=timedelta(minutes=minutes))
    await message.answer(f"{admin.first_name} has silenced {culprit.first_name} for {minutes} min.")


@router.message(Command("del"), IsAdmin(), F.reply_to_message)
async def delete(message: Message) -> None:
    assert message.reply_to_message is not None
    try:
        await message.reply_to_message.delete()
    except TelegramBadRequest as error:
        await message.reply(f"It cannot be deleted: {error.message}")
    else:
        await message.delete()


@router.message(Command("warn", "mute", "del"))
async def not_allowed(message: Message) -> None:
    await message.reply("Only administrators may do that, as a reply to a message.")


@router.message(Command("report"), F.reply_to_message)
async def report(message: Message, bot: Bot) -> None:
    admins = await bot.get_chat_administrators(message.chat.id)
    names = ", ".join(admin.user.first_name for admin in admins if not admin.user.is_bot)
    await message.reply(f"Reported to {names}.")


@router.message(Command("pin"), IsAdmin())
async def pin(message: Message) -> None:
    await message.reply_to_message.pin()  # type: ignore[union-attr]  # without a reply it fails, see below


@router.message(HasBadWord())
async def remove_bad_words(message: Message, bot: Bot) -> None:
    await message.delete()
    if message.from_user is not None:
        notice = await message.answer(f"{message.from_user.first_name}, not here!")
        await warn(message, message.from_user, message.message_id, bot)
        asyncio.create_task(vanish(notice))  # noqa: RUF006


@router.error(ExceptionTypeFilter(AttributeError), F.update.message.as_("message"))
async def say_that_it_failed(event: ErrorEvent, message: Message) -> None:
    logger.warning("update %s failed: %s", event.update.update_id, event.exception)
    await message.reply("Reply to the message that you mean.")


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    await dispatcher.start_polling(Bot(os.environ["BOT_TOKEN"]), allowed_updates=dispatcher.resolve_used_update_types())


if __name__ == "__main__":
    asyncio.run(main())
