"""Repeats every text, up to what one message takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiogram import F, Router
from aiogram.methods import SendMessage
from aiogram.types import Message

from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import short
from tempogram.bot.behaviours.cutting import cut

NAME = "echo"

COMMAND_FOR_ANOTHER = r"/\w+@"
"""Commands that name a bot; ``commands`` has already answered those of this bot that have a template."""


def router() -> Router:
    made = Router(name=NAME)
    made.message.register(echo, F.text, ~F.text.regexp(COMMAND_FOR_ANOTHER))
    return made


async def echo(message: Message) -> SendMessage:
    return message.answer(cut(message.text or ""), parse_mode=None)


def check(config: Mapping[str, Any]) -> None:
    if config:
        raise Refusal(f"echo has no settings, so {short(next(iter(config)))} is unknown; use {{}}")
