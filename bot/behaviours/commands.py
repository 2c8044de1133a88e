"""Answers commands with templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from aiogram import F, Router
from aiogram.filters import Filter
from aiogram.methods import SendMessage
from aiogram.types import Message

from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import short
from tempogram.bot.behaviours.cutting import cut
from tempogram.storage.bots import RegisteredBot

NAME = "commands"

_COMMAND = re.compile(r"/([A-Za-z0-9_]{1,64})(?:@(\w+))?(?:\s|$)")
_NAME = re.compile(r"[a-z0-9_]{1,32}")
_FIELD = re.compile(r"\{(\w+)\}")

FIELDS: dict[str, Callable[[Message, RegisteredBot], str | None]] = {
    "first_name": lambda message, _: message.from_user.first_name if message.from_user else None,
    "username": lambda message, _: message.from_user.username if message.from_user else None,
    "chat_title": lambda message, _: message.chat.title,
    "args": lambda message, _: (message.text or "").partition(" ")[2].strip(),
    "bot": lambda _, registered: registered.username,
}
"""The fields of a template, in braces; a field without a value is empty."""


class KnownCommand(Filter):
    """Matches a command that the bot has a template for, unless it names another bot."""

    async def __call__(
        self, message: Message, registered: RegisteredBot, config: Mapping[str, str]
    ) -> bool | dict[str, str]:
        template = config.get(command_of(message, registered) or "")
        return False if template is None else {"template": template}


def command_of(message: Message, registered: RegisteredBot) -> str | None:
    """Return the command of a message, in small letters; None if it has none, or one for another bot."""
    matched = _COMMAND.match(message.text or "")
    if matched is None or (matched[2] and matched[2].lower() != registered.username.lower()):
        return None
    return matched[1].lower()


def router() -> Router:
    made = Router(name=NAME)
    made.message.register(answer, F.text.startswith("/"), KnownCommand())
    return made


async def answer(message: Message, registered: RegisteredBot, template: str) -> SendMessage:
    # Without markup: a user's name may hold a stray character of it.
    return message.answer(cut(fill(template, message, registered)), parse_mode=None)


def fill(template: str, message: Message, registered: RegisteredBot) -> str:
    """Fill in the fields; braces around another word stay as they are."""

    def value(matched: re.Match[str]) -> str:
        field = FIELDS.get(matched[1])
        return matched[0] if field is None else field(message, registered) or ""

    return _FIELD.sub(value, template)


def check(config: Mapping[str, Any]) -> None:
    for name, template in config.items():
        if not _NAME.fullmatch(name):
            raise Refusal(f"{short(name)} is not a command name; use up to 32 of a-z, 0-9 and _, without the slash")
        if not isinstance(template, str) or not template.strip():
            raise Refusal(f"the template of /{name} is {short(template)}; it must be a non-empty text")
