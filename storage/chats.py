"""The chats of each bot: reachable or not, aliases, last messages, and what is known of them.

What a bot says in a chat for a business has a row of its own, for whether it is reachable; see ``conversations``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tempogram.engine.model.conversations import conversation
from tempogram.engine.model.messages import ChatId
from tempogram.engine.model.selection import QuietHours
from tempogram.storage.chat_facts import ChatFacts, quiet_hours_of, set_facts
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import chat_tags, chats
from tempogram.storage.ledger import chat_ids
from tempogram.storage.ledger import chats as chat_writes
from tempogram.storage.ledger.chat_changes import ChatChange, change_chats

FIRST_OF_CHATS = "-@0123456789"
"""With which the id or the name of a chat begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownChat:
    """One chat of one bot. ``reason`` is why it is unreachable; ``alias_of`` is its present id."""

    bot_id: int
    chat_id: ChatId
    reachable: bool
    reason: str | None
    alias_of: ChatId | None
    last_message_in_at_ms: int | None
    last_message_out_at_ms: int | None
    title: str | None
    type: str | None
    time_zone: str | None
    language: str | None
    opted_out_at_ms: int | None
    quiet_hours: QuietHours | None
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatActivity:
    """A user wrote in a chat. A field is None if the update does not have it."""

    bot_id: int
    chat_id: ChatId
    at_ms: int
    title: str | None = None
    type: str | None = None
    language: str | None = None


class Chats:
    """The repository of chats. What an attempt shows of a chat is stored by the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note_activity(self, note: ChatActivity) -> None:
        """Store that a user wrote: the chat is reachable (again)."""
        await self._database.write(_change, [_activity(note)])

    async def mark_reachable(self, bot_id: int, chat_id: ChatId) -> None:
        """Store that a chat is reachable again."""
        await self._database.write_alone(
            lambda connection: chat_writes.mark_reachable(connection, [(bot_id, str(chat_id))])
        )

    async def mark_unreachable(self, bot_id: int, chat_id: ChatId, reason: str) -> None:
        """Store that a chat is unreachable, as the ledger does for a refused attempt."""
        await self._database.write(_change, [ChatChange(bot_id, str(chat_id), reason=reason)])

    async def lost_of_business(self, bot_id: int, connection_id: str) -> list[ChatId]:
        """Return the conversations of a business connection that take nothing more."""
        is_meant = chats.c.bot_id == bot_id, chats.c.reachable.is_(False), _is_of_business(connection_id)
        async with self._database.reading() as connection:
            rows = await connection.execute(select(chats.c.chat_id).where(*is_meant))
            return [chat_ids.required(name) for name in rows.scalars()]

    async def set_facts(self, bot_id: int, facts: Sequence[ChatFacts]) -> None:
        """Store what is said of chats, under their present ids; a chat that is not known is from now on."""
        await self._database.write_alone(lambda connection: set_facts(connection, bot_id, facts))

    async def get(self, bot_id: int, chat_id: ChatId) -> KnownChat | None:
        is_meant = chats.c.bot_id == bot_id, chats.c.chat_id == str(chat_id)
        found = await self._read(bot_id, select(chats).where(*is_meant))
        return found[0] if found else None

    async def page(self, bot_id: int, *, after: str, limit: int, tag: str | None = None) -> list[KnownChat]:
        """Return chats under their present ids, in the order of these as texts; of one tag, if given.

        Args:
            bot_id: Of one bot.
            after: The id of the last one of the page before.
            limit: How many.
            tag: Only chats that have it.
        """
        return await self._read(bot_id, _page(bot_id, after, tag).limit(limit))

    async def _read(self, bot_id: int, query: Select[Any]) -> list[KnownChat]:
        """Return chats with their tags, in two queries."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
            tags = await _tags(connection, bot_id, [row.chat_id for row in rows])
        return [_known(row, tags.get(row.chat_id, ())) for row in rows]

    async def titles(self, *, limit: int) -> dict[ChatId, str]:
        """Return the titles of some chats, as many as ``limit``, for a view."""
        query = select(chats.c.chat_id, chats.c.title).where(chats.c.title.is_not(None)).limit(limit)
        async with self._database.reading() as connection:
            rows = await connection.execute(query)
            return {chat_ids.required(chat_id): title for chat_id, title in rows}


def _is_of_business(connection_id: str) -> ColumnElement[bool]:
    return chats.c.chat_id.startswith(conversation("", connection_id), autoescape=True)


def _change(connection: Connection, changes: Sequence[ChatChange]) -> list[None]:
    change_chats(connection, changes)
    return [None] * len(changes)


def _activity(note: ChatActivity) -> ChatChange:
    return ChatChange(
        note.bot_id,
        str(note.chat_id),
        message_in_at_ms=note.at_ms,
        title=note.title,
        type=note.type,
        language=note.language,
    )


def _page(bot_id: int, after: str, tag: str | None) -> Select[Any]:
    # Not what a bot says for a business, nor what else is no chat: their names begin with a word.
    is_chat = func.substr(chats.c.chat_id, 1, 1).in_(list(FIRST_OF_CHATS))
    page = select(chats).where(chats.c.bot_id == bot_id, chats.c.alias_of.is_(None), is_chat)
    if tag is None:
        return page.where(chats.c.chat_id > after).order_by(chats.c.chat_id)
    of_tag = chat_tags.c.bot_id == chats.c.bot_id, chat_tags.c.chat_id == chats.c.chat_id, chat_tags.c.tag == tag
    after_it = chat_tags.c.bot_id == bot_id, chat_tags.c.chat_id > after
    return page.where(*of_tag, *after_it).order_by(chat_tags.c.chat_id)


async def _tags(connection: AsyncConnection, bot_id: int, names: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
    is_meant = chat_tags.c.bot_id == bot_id, chat_tags.c.chat_id.in_(names)
    tags: dict[str, tuple[str, ...]] = {}
    # Not sorted by the database: PostgreSQL would read all tags of the bot in this order, to sort none.
    for row in sorted(await connection.execute(select(chat_tags).where(*is_meant)), key=attrgetter("tag")):
        tags[row.chat_id] = (*tags.get(row.chat_id, ()), row.tag)
    return tags


def _known(row: Row[Any], tags: tuple[str, ...]) -> KnownChat:
    return KnownChat(
        bot_id=row.bot_id,
        chat_id=chat_ids.required(row.chat_id),
        reachable=row.reachable,
        reason=row.reason,
        alias_of=chat_ids.from_text(row.alias_of),
        last_message_in_at_ms=row.last_message_in_at_ms,
        last_message_out_at_ms=row.last_message_out_at_ms,
        title=row.title,
        type=row.type,
        time_zone=row.time_zone,
        language=row.language,
        opted_out_at_ms=row.opted_out_at_ms,
        quiet_hours=quiet_hours_of(row),
        tags=tags,
    )
