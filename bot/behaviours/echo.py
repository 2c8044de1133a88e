"""Says everything again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiogram import F, Router
from aiogram.methods import SendMessage
from aiogram.types import Message

from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import short
from tempogram.bot.behaviours.enabled import Enabled

NAME = "echo"

COMMAND_FOR_ANOTHER = r"/\w+@"
"""Commands that name their bot; one for this bot with an answer was taken by ``commands`` before."""


def router() -> Router:
    made = Router(name=NAME)
    made.message.register(echo, F.text, ~F.text.regexp(COMMAND_FOR_ANOTHER), Enabled(NAME))
    return made


async def echo(message: Message) -> SendMessage:
    return message.answer(message.text or "")


def check(config: Mapping[str, Any]) -> None:
    if config:
        raise Refusal(f"echo has no settings; {short(next(iter(config)))} is none")
