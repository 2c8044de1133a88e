"""A newsletter: an editor writes one, and it goes to all who have written to the bot.

EDITORS=42 BOT_TOKENS=123456:ABC-DEF BEHAVIOURS=tempogram.bot.behaviours.preferences,examples.newsletter tempogram run

``/send Hello {title|friend}, …`` sends it, ``/stop`` (which ``preferences`` answers) ends it for a reader. There is no
loop and no table of readers: each gets it once, also over a kill. docs/broadcasts.md says what else there is.
"""

from __future__ import annotations

import os

from aiogram import Bot, F, Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

import tempogram

AT = os.getenv("NEWSLETTER_AT") or None
"""A time of each reader's own day, such as 10:00; None: at once."""

EDITORS = {int(number) for number in os.getenv("EDITORS", "").split(",") if number}

router = Router()


@router.message(Command("send"), F.from_user.id.in_(EDITORS))
async def send(message: Message, command: CommandObject, bot: Bot) -> None:
    if not command.args:
        await message.answer("Write it behind the command: /send Hello {title|friend}, …")
        return
    made = await tempogram.broadcast(
        bot,
        command.args,
        name="newsletter",
        selection={"active_days": 90},
        at=AT,
        quiet_hours={"from": "22:00", "until": "08:00"},
        daily_cap=2,
    )
    await message.answer(f"It goes out. tempogram broadcast show {made.id} says how far it is.")
