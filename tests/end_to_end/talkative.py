"""A user's behaviours: one awaits the answers to its own calls, one is slow."""

from __future__ import annotations

import asyncio

from aiogram import F, Router
from aiogram.methods import SendMessage
from aiogram.types import Message

TAKES_S = 1.0
GROUP_LIMIT = 5

router = Router(name=__name__)


@router.message(F.text.startswith("number "))
async def tell_number(message: Message) -> None:
    """Send a message, and then the id that Telegram gave it."""
    said = await message.answer(f"heard {message.text}")
    await message.answer(f"{message.text} was answered by {said.message_id}")


@router.message(F.text == "change your mind")
async def change(message: Message) -> None:
    """Fill a group, and change what waits in it."""
    for number in range(GROUP_LIMIT):
        await message.answer(f"mind {number}")
    kept, dropped, thinking = [await message.answer(f"mind {each}") for each in ("kept", "dropped", "thinking")]
    await dropped.delete()
    await thinking.edit_text("mind the answer")
    await kept.reply(f"mind a reply to {kept.message_id}")
    await kept.pin()


@router.message(F.text.startswith("slow "))
async def answer_slowly(message: Message) -> SendMessage:
    await asyncio.sleep(TAKES_S)
    return message.answer(f"answered {message.text}")
