"""Erased chats in memory, and an export of rows that a test sets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tempogram.engine.model.messages import BotChat, ChatId


@dataclass(frozen=True, slots=True)
class MemoryErased:
    rows: Mapping[str, int]
    left: int


@dataclass
class MemoryErasures:
    """See ``engine.closing.erasures.Erasures``. ``left``: how many rows an erasure leaves."""

    since_ms: dict[BotChat, int] = field(default_factory=dict)
    named: set[BotChat] = field(default_factory=set)
    left: int = 0
    runs: list[BotChat] = field(default_factory=list)

    async def digests(self) -> set[bytes]:
        return {self.digest(*each) for each in self.since_ms}

    async def among(self, bot_chats: Collection[BotChat]) -> set[BotChat]:
        return set(bot_chats) & set(self.since_ms)

    def digest(self, bot_id: int, chat_id: ChatId) -> bytes:
        return f"{bot_id} {chat_id}".encode()

    async def names(self, bot_id: int, chat_id: ChatId) -> list[ChatId]:
        return [chat_id]

    async def begin(self, bot_id: int, chat_id: ChatId, *, now_ms: int) -> None:
        self.since_ms.setdefault((bot_id, chat_id), now_ms)
        self.named.add((bot_id, chat_id))

    async def erase(self, bot_id: int, chat_id: ChatId, *, now_ms: int) -> MemoryErased:
        self.runs.append((bot_id, chat_id))
        return MemoryErased({"messages": 1}, self.left)

    async def pending(self, *, limit: int) -> list[tuple[int, ChatId, int]]:
        return [(*each, self.since_ms[each]) for each in sorted(self.named, key=str)][:limit]

    async def finish(self, bot_id: int, chat_id: ChatId) -> None:
        self.named.discard((bot_id, chat_id))

    async def lift(self, bot_id: int, chat_id: ChatId) -> bool:
        self.named.discard((bot_id, chat_id))
        return self.since_ms.pop((bot_id, chat_id), None) is not None

    async def erased_at_ms(self, bot_id: int, chat_id: ChatId) -> int | None:
        return self.since_ms.get((bot_id, chat_id))


@dataclass
class ListedExport:
    """See ``storage.privacy.export.ChatExport``. ``error`` is raised in place of the first row."""

    of_chats: dict[BotChat, list[dict[str, Any]]] = field(default_factory=dict)
    error: Exception | None = None

    async def rows(self, bot_id: int, chat_id: ChatId) -> AsyncIterator[dict[str, Any]]:
        if self.error is not None:
            raise self.error
        for row in self.of_chats.get((bot_id, chat_id), []):
            yield row
