"""Bots and chats by the names under which a person knows them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Protocol

from aiogram.types import Chat, User

from tempogram.bot.terminal.plain import plain
from tempogram.engine.model.messages import ChatId
from tempogram.storage.bots import RegisteredBot

CHATS_MAX = 10_000
"""Titles that are kept, of the chats that were seen last."""


class NamedBots(Protocol):
    """See ``bot.fleet.registry.Registry``."""

    def has(self, bot_id: int) -> bool:
        """Tell whether a bot is known."""

    def registered(self, bot_id: int) -> RegisteredBot:
        """Return a bot."""


class Names:
    """Names of bots, from the registry, and of chats, from updates and the database; else their ids."""

    def __init__(self, *, chats_max: int = CHATS_MAX) -> None:
        self.bots: NamedBots | None = None
        self._chats_max = chats_max
        self._titles: OrderedDict[ChatId, str] = OrderedDict()

    def bot(self, bot_id: int, *, cells: int) -> str:
        if self.bots is None or not self.bots.has(bot_id):
            return f"bot {bot_id}"
        registered = self.bots.registered(bot_id)
        return plain(registered.first_name or registered.username, cells=cells) or f"bot {bot_id}"

    def chat(self, chat_id: ChatId | None, *, cells: int) -> str:
        """Return "" for a call that concerns no chat."""
        if chat_id is None or (isinstance(chat_id, str) and chat_id.startswith("method:")):
            return ""
        if isinstance(chat_id, str) and chat_id.startswith("inline:"):
            return "an inline message"
        return plain(self._titles.get(chat_id, f"chat {chat_id}"), cells=cells)

    def learn(self, chat: Chat) -> None:
        """Keep a chat's title, from an update."""
        self._keep(chat.id, title_of(chat))

    def learn_titles(self, titles: Mapping[ChatId, str]) -> None:
        """Keep titles, from the database."""
        for chat_id, title in titles.items():
            self._keep(chat_id, title)

    def _keep(self, chat_id: ChatId, title: str) -> None:
        self._titles[chat_id] = title
        self._titles.move_to_end(chat_id)
        if len(self._titles) > self._chats_max:
            self._titles.popitem(last=False)


def title_of(chat: Chat) -> str:
    names = (chat.first_name, chat.last_name) if chat.type == "private" else (chat.title,)
    return _joined(names) or chat.username or f"chat {chat.id}"


def name_of(user: User) -> str:
    return _joined((user.first_name, user.last_name)) or user.username or f"user {user.id}"


def _joined(names: Iterable[str | None]) -> str:
    return " ".join(name for name in names if name)
