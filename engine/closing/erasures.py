"""Chats whose data was erased, and that are not written to until they write again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from tempogram.engine.model.messages import BotChat, ChatId


class Erased(Protocol):
    """What was deleted of a chat, by table, and how many rows are left: being sent, not handled yet, or waiting."""

    @property
    def rows(self) -> Mapping[str, int]: ...

    @property
    def left(self) -> int: ...


class Erasures(Protocol):
    """See ``storage.privacy.erasures.SqlErasures``. Each coroutine raises ``LedgerError`` if the database refuses."""

    async def digests(self) -> set[bytes]:
        """Return the digest of every erased chat."""

    async def among(self, bot_chats: Collection[BotChat]) -> set[BotChat]:
        """Return those of these that were erased."""

    def digest(self, bot_id: int, chat_id: ChatId) -> bytes | None:
        """Return the digest of a chat; None: no chat has been erased yet."""

    async def names(self, bot_id: int, chat_id: ChatId) -> list[ChatId]:
        """Return all names of a chat, its present id first; after its erasure only the given one is known."""

    async def begin(self, bot_id: int, chat_id: ChatId, *, now_ms: int) -> None:
        """Keep a chat from being written to from now on."""

    async def erase(self, bot_id: int, chat_id: ChatId, *, now_ms: int) -> Erased:
        """Delete what has ended of a chat. Called again, it goes on."""

    async def pending(self, *, limit: int) -> list[tuple[int, ChatId, int]]:
        """Return chats whose erasure has begun and is not finished, and since when, the oldest first."""

    async def finish(self, bot_id: int, chat_id: ChatId) -> None:
        """Forget the id of a chat; its digest stays."""

    async def lift(self, bot_id: int, chat_id: ChatId) -> bool:
        """Let a chat be written to again; False: it was not erased."""

    async def erased_at_ms(self, bot_id: int, chat_id: ChatId) -> int | None:
        """Return when a chat was erased; None: it was not."""
