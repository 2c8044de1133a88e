"""Aiogram's ``Bot`` of each bot, and its defaults: those of the settings, under the bot's own.

A process that only sends makes none, and does not import aiogram.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.base import BaseSession
from aiogram.methods import SendMessage

from tempogram.bot.telegram.composer import prepare

NO_PARSE_MODE = ""
"""A bot's own ``parse_mode`` that lifts the one of the settings."""


class Defaults:
    """The defaults of every bot."""

    def __init__(self, of_settings: Mapping[str, Any]) -> None:
        self._of_settings = {name: value for name, value in of_settings.items() if value is not None}

    def of(self, own: Mapping[str, Any]) -> DefaultBotProperties:
        """Return aiogram's defaults for a bot with these of its own.

        >>> Defaults({"parse_mode": "HTML", "protect_content": True}).of({"parse_mode": ""}).parse_mode
        >>> Defaults({"parse_mode": "HTML"}).of({"protect_content": True}).parse_mode
        'HTML'
        """
        merged = {**self._of_settings, **own}
        return DefaultBotProperties(**{name: value for name, value in merged.items() if value != NO_PARSE_MODE})


def aiogram_bot(token: str, session: BaseSession, default: DefaultBotProperties | None = None) -> Bot:
    """Return a bot with this session; ``session.install`` routes its counted calls through the engine."""
    return Bot(token, session=session, default=default or DefaultBotProperties())


class BotObjects:
    """Makes each ``Bot`` with the session and the defaults of this process."""

    def __init__(self, session: BaseSession, defaults: Defaults) -> None:
        self._session = session
        self._defaults = defaults

    def new(self, token: str, own: Mapping[str, Any]) -> Bot:
        """Return a ``Bot`` with defaults of its own over those of the settings."""
        return aiogram_bot(token, self._session, self._defaults.of(own))

    def set_defaults(self, bot: Bot, own: Mapping[str, Any]) -> None:
        """Change a ``Bot`` in place: hooks and dialogs keep theirs."""
        bot.default = self._defaults.of(own)

    @staticmethod
    def text_params(bot: Bot) -> dict[str, Any]:
        """Return what aiogram would add to a text of this bot."""
        return text_params(bot)


def text_params(bot: Bot) -> dict[str, Any]:
    """Return what aiogram would add to a text of this bot."""
    params = prepare(bot, SendMessage(chat_id=bot.id, text="…")).params
    return {name: value for name, value in params.items() if name not in {"chat_id", "text"}}
