"""The chats in memory, for tests of the HTTP side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.model.messages import BotChat, ChatId
from tempogram.storage.chat_facts import UNCHANGED, ChatFacts
from tempogram.storage.chats import KnownChat


class MemoryChats:
    """See ``storage.chats.Chats``. ``fails_after``: how many calls of ``set_facts`` succeed before the rest fail."""

    def __init__(self) -> None:
        self.known: dict[BotChat, KnownChat] = {}
        self.fails_after: int | None = None

    async def get(self, bot_id: int, chat_id: ChatId) -> KnownChat | None:
        return self.known.get((bot_id, chat_id))

    async def page(self, bot_id: int, *, after: str, limit: int, tag: str | None = None) -> list[KnownChat]:
        of_bot = sorted((each for each in self.known.values() if each.bot_id == bot_id), key=lambda it: str(it.chat_id))
        return [each for each in of_bot if str(each.chat_id) > after and (tag is None or tag in each.tags)][:limit]

    async def set_facts(self, bot_id: int, facts: Sequence[ChatFacts]) -> None:
        if self.fails_after is not None:
            self.fails_after -= 1
            if self.fails_after < 0:
                raise LedgerError("the database is away")
        for each in facts:
            said: dict[str, Any] = {field.name: getattr(each, field.name) for field in fields(each)}
            changes = {name: value for name, value in said.items() if value is not UNCHANGED}
            before = self.known.get((bot_id, each.chat_id)) or unknown(bot_id, each.chat_id)
            self.known[bot_id, each.chat_id] = replace(before, **changes)


def unknown(bot_id: int, chat_id: ChatId) -> KnownChat:
    """Return a chat of which nothing is known."""
    return KnownChat(
        bot_id=bot_id,
        chat_id=chat_id,
        reachable=True,
        reason=None,
        alias_of=None,
        last_message_in_at_ms=None,
        last_message_out_at_ms=None,
        title=None,
        type=None,
        time_zone=None,
        language=None,
        opted_out_at_ms=None,
        quiet_hours=None,
        tags=(),
    )
