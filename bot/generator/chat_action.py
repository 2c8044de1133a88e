"""Shows "typing" in a chat while an answer is being written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog
from aiogram import Bot
from aiogram.enums import ChatAction
from aiogram.exceptions import AiogramError
from aiogram.types import Message

log = structlog.get_logger()

SHOWN_S = 4.5
"""Telegram shows it for 5 s: https://core.telegram.org/bots/api#sendchataction"""


@contextlib.asynccontextmanager
async def typing(bot: Bot, message: Message) -> AsyncIterator[None]:
    """Show "typing" in the message's chat until the block ends. It counts against no limit."""
    task = asyncio.create_task(_show(bot, message))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _show(bot: Bot, message: Message) -> None:
    thread_id = message.message_thread_id if message.is_topic_message else None
    try:
        while True:
            await bot.send_chat_action(message.chat.id, ChatAction.TYPING, message_thread_id=thread_id)
            await asyncio.sleep(SHOWN_S)
    except AiogramError as error:
        log.info("typing_not_shown", bot_id=bot.id, reason=type(error).__name__)
