"""Answers mentions of the bot, replies to it and, if ``private`` is set, any text in a private chat.

    {"replies": {"system": "You run a chess club.", "templates": ["One moment, {first_name}."], "private": true}}

A text generator writes the answers; ``templates`` are used without a generator, and while it fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from aiogram import Bot, F, Router
from aiogram.filters import Filter
from aiogram.methods import SendMessage
from aiogram.types import Message, Update

from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import short
from tempogram.bot.behaviours.commands import fill
from tempogram.bot.behaviours.cutting import cut
from tempogram.bot.generator.chat_action import typing
from tempogram.bot.generator.conversation import ConversationWriter
from tempogram.bot.telegram.priority import is_addressed
from tempogram.storage.bots import RegisteredBot

NAME = "replies"

TEMPLATES = ("I am a bot, {first_name}, and I heard you.",)
"""The default templates."""

TEMPLATES_MAX = 100
SYSTEM_CHARACTERS_MAX = 8_000


class IsAddressed(Filter):
    """Matches messages addressed to the bot; never those of another bot, or two bots would talk for ever."""

    async def __call__(self, message: Message, registered: RegisteredBot, config: Mapping[str, Any]) -> bool:
        # An anonymous admin is shown as a bot, too, with the chat in ``sender_chat``.
        if message.from_user is not None and message.from_user.is_bot and message.sender_chat is None:
            return False
        is_private = message.chat.type == "private" and bool(config.get("private"))
        return is_private or is_addressed(message, registered.bot_id, registered.username)


def router() -> Router:
    made = Router(name=NAME)
    made.message.register(reply, F.text | F.caption, IsAddressed())
    return made


async def reply(
    message: Message,
    bot: Bot,
    event_update: Update,
    registered: RegisteredBot,
    config: Mapping[str, Any],
    conversation_writer: ConversationWriter,
) -> SendMessage | None:
    async with AsyncExitStack() as stack:
        if conversation_writer.takes_time:
            await stack.enter_async_context(typing(bot, message))
        text = await conversation_writer.answer(
            message,
            bot_id=registered.bot_id,
            update_id=event_update.update_id,
            system=config.get("system", ""),
            templates=_ready(config.get("templates", TEMPLATES), message, registered),
        )
    return None if text is None else _addressed_back(message, cut(text))


def _ready(templates: Sequence[str], message: Message, registered: RegisteredBot) -> tuple[str, ...]:
    """Return the templates filled in; if all are empty then, a single "…"."""
    filled = tuple(fill(each, message, registered) for each in templates)
    return tuple(text for text in filled if text.strip()) or ("…",)


def _addressed_back(message: Message, text: str) -> SendMessage:
    # Without markup: a stray character in a generated text would be a 400.
    if message.chat.type == "private":
        return message.answer(text, parse_mode=None)
    quote = message.as_reply_parameters(allow_sending_without_reply=True, quote_parse_mode=None)
    return message.answer(text, parse_mode=None, reply_parameters=quote)


def check(config: Mapping[str, Any]) -> None:
    known = {"templates": _check_templates, "system": _check_system, "private": _check_private}
    for name, value in config.items():
        if name not in known:
            raise Refusal(f"{short(name)} is not a setting of replies; choose from {', '.join(known)}")
        known[name](value)


def _check_templates(value: object) -> None:
    if not isinstance(value, list) or not 0 < len(value) <= TEMPLATES_MAX:
        raise Refusal(f"templates of replies must be a list of 1 to {TEMPLATES_MAX} texts")
    for template in value:
        if not isinstance(template, str) or not template.strip():
            raise Refusal(f"a template of replies is {short(template)}; it must be a non-empty text")


def _check_system(value: object) -> None:
    if not isinstance(value, str) or len(value) > SYSTEM_CHARACTERS_MAX:
        raise Refusal(f"system of replies must be a text of at most {SYSTEM_CHARACTERS_MAX:,} characters")


def _check_private(value: object) -> None:
    if not isinstance(value, bool):
        raise Refusal(f"private of replies is {short(value)}; it must be true or false")
