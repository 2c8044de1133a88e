"""Recent texts of chats in which a text generator answers; other texts are not stored. See decision 0008."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.sql import ClauseElement

from tempogram.engine.model.messages import ChatId
from tempogram.storage.database.bulk import Binds, BulkStatement, as_dicts
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_into
from tempogram.storage.database.models import texts
from tempogram.storage.ledger import chat_ids

TEXTS_OF_CHAT_MAX = 50
"""Stored of one chat. Untuned: more than a generator is given."""

CHARACTERS_MAX = 4_096
"""Stored of one text; Telegram's longest: https://core.telegram.org/bots/api#message"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatText:
    """One text of a chat: of an update, or the bot's answer to it. ``speaker`` is '' if it is unknown."""

    bot_id: int
    update_id: int
    by_bot: bool
    chat_id: ChatId
    speaker: str
    text: str
    said_at_ms: int


class Texts:
    """The repository of texts. One older than ``keep_ms`` is deleted with the next write, or by ``retention``."""

    def __init__(self, database: Database, *, keep_ms: int) -> None:
        self._database = database
        self._keep_ms = keep_ms

    async def note(self, text: ChatText) -> None:
        """Store a text; if its update is handled again, the first text stays."""
        await self._database.write(self._note, [text])

    async def recent(self, bot_id: int, chat_id: ChatId, *, since_ms: int, limit: int) -> list[ChatText]:
        """Return the last texts of a chat, oldest first."""
        is_meant = texts.c.bot_id == bot_id, texts.c.chat_id == str(chat_id), texts.c.said_at_ms >= since_ms
        page = select(texts).where(*is_meant).order_by(*(column.desc() for column in _ORDER)).limit(limit)
        async with self._database.reading() as connection:
            rows = (await connection.execute(page)).all()
        return [
            ChatText(
                bot_id=row.bot_id,
                update_id=row.update_id,
                by_bot=row.by_bot,
                chat_id=chat_ids.required(row.chat_id),
                speaker=row.speaker,
                text=row.text,
                said_at_ms=row.said_at_ms,
            )
            for row in reversed(rows)
        ]

    async def answer_to(self, bot_id: int, update_id: int) -> str | None:
        """Return the bot's answer to an update, for when the update is handled again."""
        is_meant = texts.c.bot_id == bot_id, texts.c.update_id == update_id, texts.c.by_bot
        async with self._database.reading() as connection:
            found: str | None = (await connection.execute(select(texts.c.text).where(*is_meant))).scalar()
            return found

    def _note(self, connection: Connection, items: Sequence[ChatText]) -> list[None]:
        INSERT_TEXTS.run(connection, [_row(each) for each in items])
        for bot_id, chat_id in sorted({(each.bot_id, str(each.chat_id)) for each in items}):
            connection.execute(_FORGET, {"of_bot": bot_id, "of_chat": chat_id})
        oldest_ms = max(each.said_at_ms for each in items) - self._keep_ms
        connection.execute(delete(texts).where(texts.c.said_at_ms < oldest_ms))
        return [None] * len(items)


_ORDER = texts.c.said_at_ms, texts.c.update_id, texts.c.by_bot

_OF_CHAT = texts.c.bot_id == bindparam("of_bot"), texts.c.chat_id == bindparam("of_chat")

_FIRST_KEPT = (
    select(texts.c.said_at_ms)
    .where(*_OF_CHAT)
    .order_by(texts.c.said_at_ms.desc())
    .offset(TEXTS_OF_CHAT_MAX - 1)
    .limit(1)
    .scalar_subquery()
)

_FORGET = delete(texts).where(*_OF_CHAT, texts.c.said_at_ms < _FIRST_KEPT)
"""Deletes nothing while the chat has fewer: then the subquery is NULL."""

_ROW = (
    texts.c.bot_id,
    texts.c.update_id,
    texts.c.by_bot,
    texts.c.chat_id,
    texts.c.speaker,
    texts.c.text,
    texts.c.said_at_ms,
)


def _row(each: ChatText) -> tuple[object, ...]:
    chat_id = chat_ids.to_text(each.chat_id)
    text = each.text[:CHARACTERS_MAX]
    return each.bot_id, each.update_id, each.by_bot, chat_id, each.speaker, text, each.said_at_ms


def _insert_texts(dialect: str, rows: Binds) -> ClauseElement:
    return insert_into(texts, dialect).values(as_dicts(_ROW, rows)).on_conflict_do_nothing()


INSERT_TEXTS = BulkStatement(_ROW, _insert_texts)
