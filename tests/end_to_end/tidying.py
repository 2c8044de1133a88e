"""A user's behaviour that deletes what it was sent, and answers."""

from __future__ import annotations

from aiogram import F, Router
from aiogram.methods import DeleteMessage, SendMessage
from aiogram.types import Message

router = Router(name=__name__)


@router.message(F.text.startswith("tidy "))
async def tidy(message: Message) -> list[DeleteMessage | SendMessage]:
    return [message.delete(), message.answer(f"done: {message.text}")]
