"""Talks with a language model that speaks OpenAI's chat completions; the answer grows while it is written.

BOT_TOKEN=123456:ABC-DEF MODEL_URL=http://localhost:11434/v1 MODEL=llama3 python -m examples.chatbot
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiogram import Bot, Dispatcher, F, Router
from aiogram.exceptions import TelegramBadRequest, TelegramRetryAfter
from aiogram.filters import Command, CommandObject
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, ErrorEvent, InlineKeyboardButton, InlineKeyboardMarkup, Message
from aiogram.utils.chat_action import ChatActionMiddleware, ChatActionSender

log = logging.getLogger(__name__)

EDIT_EVERY_S = 0.3
REMEMBERED = 10
PERSONA = "You are a friendly assistant. Answer briefly."
AGAIN = InlineKeyboardMarkup(inline_keyboard=[[InlineKeyboardButton(text="🔁 Again", callback_data="again")]])

Turn = dict[str, str]

router = Router(name="chatbot")
router.message.middleware(ChatActionMiddleware())


class ModelAway(Exception):
    """The model's server did not answer as it should."""


class Model:
    """A client of one server."""

    def __init__(self, url: str, model: str) -> None:
        self.url = url
        self.model = model

    async def stream(self, turns: list[Turn]) -> AsyncIterator[str]:
        body = {"model": self.model, "messages": turns, "stream": True}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(60)) as session,
                session.post(f"{self.url}/chat/completions", json=body) as response,
            ):
                response.raise_for_status()
                async for line in response.content:
                    if (piece := _piece(line)) is not None:
                        yield piece
        except aiohttp.ClientError as error:
            raise ModelAway(str(error)) from error


def _piece(line: bytes) -> str | None:
    data = line.decode().strip().removeprefix("data: ")
    if not data or data == "[DONE]":
        return None
    return json.loads(data)["choices"][0]["delta"].get("content") or None


model = Model(os.getenv("MODEL_URL", "http://localhost:11434/v1"), os.getenv("MODEL", "llama3"))


async def show(message: Message, text: str, **options: Any) -> None:
    """Edit the growing answer; an edit that Telegram does not want is left out, the last one is tried again."""
    try:
        await message.edit_text(text, **options)
    except TelegramRetryAfter as error:
        if options:
            await asyncio.sleep(error.retry_after)
            await message.edit_text(text, **options)
    except TelegramBadRequest as error:
        if "not modified" not in error.message:
            raise


async def answer(message: Message, turns: list[Turn], persona: str) -> str:
    """Let an answer grow in one message, and return it."""
    growing = await message.answer("…")
    text, shown_at = "", time.monotonic()
    try:
        async for piece in model.stream([{"role": "system", "content": persona}, *turns]):
            text += piece
            if time.monotonic() - shown_at > EDIT_EVERY_S:
                await show(growing, f"{text} …")
                shown_at = time.monotonic()
    except ModelAway:
        await growing.delete()
        raise
    await show(growing, text or "(no answer)", reply_markup=AGAIN)
    return text


@router.message(Command("start"))
async def start(message: Message, state: FSMContext) -> None:
    await message.answer("Ask me anything. /persona changes who I am, /reset forgets what we said.")
    await state.set_data({})


@router.message(Command("reset"))
async def reset(message: Message, state: FSMContext) -> None:
    turns = (await state.get_data()).get("turns", [])
    await state.update_data(turns=[])
    await message.answer(f"{len(turns)} messages are forgotten.")


@router.message(Command("persona"))
async def change_persona(message: Message, command: CommandObject, state: FSMContext) -> None:
    await message.answer("So be it." if command.args else "I am myself again.")
    await state.update_data(persona=command.args or PERSONA)


@router.message(F.text, ~F.text.startswith("/"), flags={"chat_action": "typing"})
async def talk(message: Message, state: FSMContext) -> None:
    data = await state.get_data()
    turns = [*data.get("turns", []), {"role": "user", "content": message.text or ""}]
    text = await answer(message, turns, data.get("persona", PERSONA))
    turns.append({"role": "assistant", "content": text})
    await state.update_data(turns=turns[-REMEMBERED:])


@router.callback_query(F.data == "again", F.message.as_("message"))
async def again(query: CallbackQuery, message: Message, state: FSMContext, bot: Bot) -> None:
    data = await state.get_data()
    turns: list[Turn] = data.get("turns", [])
    while turns and turns[-1]["role"] == "assistant":
        turns.pop()
    if not turns:
        await query.answer("I have forgotten what it was about.")
        return
    await query.answer()
    await message.edit_reply_markup(reply_markup=None)
    async with ChatActionSender.typing(chat_id=message.chat.id, bot=bot):
        text = await answer(message, turns, data.get("persona", PERSONA))
    await state.update_data(turns=[*turns, {"role": "assistant", "content": text}])


@router.errors()
async def model_is_away(event: ErrorEvent) -> bool:
    if not isinstance(event.exception, ModelAway):
        raise event.exception
    log.warning("%s", event.exception)
    message = event.update.message or (event.update.callback_query and event.update.callback_query.message)
    if isinstance(message, Message):
        await message.answer("I cannot think just now. Please try later.")
    return True


async def main() -> None:
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    await dispatcher.start_polling(Bot(os.environ["BOT_TOKEN"]))


if __name__ == "__main__":
    asyncio.run(main())
