"""A user's behaviours: one awaits the answers to its own calls, one is slow."""

from __future__ import annotations

import asyncio

from aiogram import F, Router
from aiogram.methods import SendMessage
from aiogram.types import Message

TAKES_S = 1.0

router = Router(name=__name__)


@router.message(F.text.startswith("number "))
async def tell_number(message: Message) -> None:
    """Send a message, and then the id that Telegram gave it."""
    said = await message.answer(f"heard {message.text}")
    await message.answer(f"{message.text} was answered by {said.message_id}")


@router.message(F.text.startswith("slow "))
async def answer_slowly(message: Message) -> SendMessage:
    await asyncio.sleep(TAKES_S)
    return message.answer(f"answered {message.text}")
