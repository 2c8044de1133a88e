"""python-telegram-bot against a Bot API at an address: prints what it understood, one line each.

python ptb.py URL TOKEN [--door]

Through the door a message to a group that has moved is sent on, and a 429 may say how much of the hold is left.
"""

from __future__ import annotations

import asyncio
import io
import sys
from typing import Any

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, InputMediaDocument, Update
from telegram.error import BadRequest, ChatMigrated, Forbidden, RetryAfter
from telegram.ext import Application, CallbackQueryHandler, CommandHandler

UPLOAD = b"x" * 70_000
THROTTLED, BLOCKED, MIGRATED = 501, 502, -503
YES = InlineKeyboardMarkup([[InlineKeyboardButton("Yes", callback_data="y")]])


def understood(what: str, *, holds: object) -> None:
    if not holds:
        sys.exit(f"not understood: {what}")
    print(what, flush=True)


async def talks(app: Application[Any, Any, Any, Any, Any, Any]) -> None:
    """Poll until a user has sent /start and pressed the button under the answer."""
    pressed = asyncio.Event()

    async def start(update: Update, _: object) -> None:
        answer = await update.message.reply_text(f"hello {update.effective_user.first_name}", reply_markup=YES)
        understood("polling: /start came, an answer went", holds=answer.text == "hello Anna")

    async def press(update: Update, _: object) -> None:
        query = update.callback_query
        understood("a pressed button", holds=query.data == "y" and query.message.text == "hello Anna")
        await query.answer("thank you")
        edited = await query.edit_message_text("you pressed it")
        understood("an edit", holds=edited.text == "you pressed it")
        pressed.set()

    app.add_handler(CommandHandler("start", start))
    app.add_handler(CallbackQueryHandler(press))
    await app.start()
    await app.updater.start_polling(timeout=5)
    async with asyncio.timeout(20):
        await pressed.wait()
    await app.updater.stop()
    await app.stop()


async def sends(bot: Any) -> None:
    sent = await bot.send_document(7, io.BytesIO(UPLOAD), filename="x.bin", caption="look")
    understood("an upload", holds=sent.document.file_size == len(UPLOAD) and sent.caption == "look")
    again = await bot.send_document(8, sent.document.file_id)
    understood("the same file by its id", holds=again.document.file_id == sent.document.file_id)
    album = await bot.send_media_group(-5, [InputMediaDocument(io.BytesIO(UPLOAD)) for _ in range(2)])
    understood("an album of uploads", holds=len({item.media_group_id for item in album}) == 1)


async def is_refused(bot: Any, *, is_door: bool) -> None:
    try:
        await bot.send_message(THROTTLED, "x")
    except RetryAfter as error:
        understood("a 429", holds=int(error.retry_after) in ({1, 2, 3} if is_door else {3}))
    try:
        await bot.send_message(BLOCKED, "x")
    except Forbidden as error:
        understood("a 403", holds="blocked" in error.message)
    try:
        moved = await bot.send_message(MIGRATED, "x")
    except ChatMigrated as error:
        understood("a migration", holds=(await bot.send_message(error.new_chat_id, "x")).message_id)
    else:
        understood("a migration", holds=is_door and moved.chat.id != MIGRATED)
    message = await bot.send_message(9, "x")
    try:
        await bot.edit_message_text("x", 9, message.message_id)
    except BadRequest as error:
        understood("a 400", holds="not modified" in error.message)


async def main(url: str, token: str, *options: str) -> None:
    app = Application.builder().token(token).base_url(f"{url}/bot").base_file_url(f"{url}/file/bot").build()
    async with app:
        understood("getMe", holds=(await app.bot.get_me()).username == "other_bot")
        await talks(app)
        await sends(app.bot)
        await is_refused(app.bot, is_door="--door" in options)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
