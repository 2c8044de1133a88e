"""The chats of each bot: reachable or not, aliases, last message, time zone.

What a bot says in a chat for a business has a row of its own, for whether it is reachable; see ``conversations``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, null, select, true
from sqlalchemy.sql import ClauseElement

from tempogram.engine.model.conversations import conversation
from tempogram.engine.model.messages import ChatId
from tempogram.storage.database.bulk import Binds, BulkStatement
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by, insert_into
from tempogram.storage.database.models import chats
from tempogram.storage.ledger import chat_ids
from tempogram.storage.ledger import chats as chat_writes


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownChat:
    """One chat of one bot. ``reason`` is why it is unreachable; ``alias_of`` is its present id."""

    bot_id: int
    chat_id: ChatId
    reachable: bool
    reason: str | None
    alias_of: ChatId | None
    last_message_in_at_ms: int | None
    title: str | None
    type: str | None
    time_zone: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatActivity:
    """A user wrote in a chat. A field is None if the update does not have it."""

    bot_id: int
    chat_id: ChatId
    at_ms: int
    title: str | None = None
    type: str | None = None


class Chats:
    """The repository of chats. What an attempt shows of a chat is stored by the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note_activity(self, note: ChatActivity) -> None:
        """Store that a user wrote: the chat is reachable (again)."""
        await self._database.write(_note, [note])

    async def mark_reachable(self, bot_id: int, chat_id: ChatId) -> None:
        """Store that a chat is reachable again."""
        await self._database.write_alone(
            lambda connection: chat_writes.mark_reachable(connection, [(bot_id, str(chat_id))])
        )

    async def mark_unreachable(self, bot_id: int, chat_id: ChatId, reason: str) -> None:
        """Store that a chat is unreachable, as the ledger does for a refused attempt."""
        await self._database.write_alone(
            lambda connection: chat_writes.mark_unreachable(connection, bot_id, chat_id, reason)
        )

    async def lost_of_business(self, bot_id: int, connection_id: str) -> list[ChatId]:
        """Return the conversations of a business connection that take nothing more."""
        is_meant = chats.c.bot_id == bot_id, chats.c.reachable.is_(False), _is_of_business(connection_id)
        async with self._database.reading() as connection:
            rows = await connection.execute(select(chats.c.chat_id).where(*is_meant))
            return [chat_ids.required(name) for name in rows.scalars()]

    async def set_time_zone(self, bot_id: int, chat_id: ChatId, time_zone: str | None) -> None:
        """Store an IANA name such as ``Europe/Berlin``."""
        await self._database.write_alone(lambda connection: _set_time_zone(connection, bot_id, str(chat_id), time_zone))

    async def get(self, bot_id: int, chat_id: ChatId) -> KnownChat | None:
        is_meant = chats.c.bot_id == bot_id, chats.c.chat_id == str(chat_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(select(chats).where(*is_meant))).first()
            return None if row is None else _known(row)

    async def titles(self, *, limit: int) -> dict[ChatId, str]:
        """Return the titles of some chats, as many as ``limit``, for a view."""
        query = select(chats.c.chat_id, chats.c.title).where(chats.c.title.is_not(None)).limit(limit)
        async with self._database.reading() as connection:
            rows = await connection.execute(query)
            return {chat_ids.required(chat_id): title for chat_id, title in rows}


def _is_of_business(connection_id: str) -> ColumnElement[bool]:
    return chats.c.chat_id.startswith(conversation("", connection_id), autoescape=True)


def _note(connection: Connection, notes: Sequence[ChatActivity]) -> list[None]:
    # One row for each chat, the latest: PostgreSQL changes no row twice in one statement.
    latest = {(note.bot_id, str(note.chat_id)): (note.at_ms, note.title, note.type) for note in notes}
    NOTE_CHATS.run(connection, [(*key, *rest) for key, rest in sorted(latest.items(), key=itemgetter(0))])
    return [None] * len(notes)


def _set_time_zone(connection: Connection, bot_id: int, chat_id: str, time_zone: str | None) -> None:
    write = insert_by(chats, connection).values(bot_id=bot_id, chat_id=chat_id, time_zone=time_zone)
    connection.execute(
        write.on_conflict_do_update(
            index_elements=[chats.c.bot_id, chats.c.chat_id], set_={"time_zone": write.excluded.time_zone}
        )
    )


def _known(row: Row[Any]) -> KnownChat:
    return KnownChat(
        bot_id=row.bot_id,
        chat_id=chat_ids.required(row.chat_id),
        reachable=row.reachable,
        reason=row.reason,
        alias_of=chat_ids.from_text(row.alias_of),
        last_message_in_at_ms=row.last_message_in_at_ms,
        title=row.title,
        type=row.type,
        time_zone=row.time_zone,
    )


_NOTE = chats.c.bot_id, chats.c.chat_id, chats.c.last_message_in_at_ms, chats.c.title, chats.c.type


def _note_chats(dialect: str, rows: Binds) -> ClauseElement:
    write = insert_into(chats, dialect)
    new = write.excluded
    reachable_again = {
        "reachable": true(),
        "reason": null(),
        # An update that is handled again after a crash may be older than the stored time.
        "last_message_in_at_ms": case(
            (chats.c.last_message_in_at_ms > new.last_message_in_at_ms, chats.c.last_message_in_at_ms),
            else_=new.last_message_in_at_ms,
        ),
        "title": func.coalesce(new.title, chats.c.title),
        "type": func.coalesce(new.type, chats.c.type),
    }
    names = [column.name for column in _NOTE]
    return write.values([dict(zip(names, row, strict=True)) for row in rows]).on_conflict_do_update(
        index_elements=[chats.c.bot_id, chats.c.chat_id], set_=reachable_again
    )


NOTE_CHATS = BulkStatement(_NOTE, _note_chats)
