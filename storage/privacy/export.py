"""Reads everything that the database has of a chat, row by row, in constant memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Table, select, tuple_

from tempogram.engine.model.messages import ChatId
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import (
    attachments,
    attempts,
    audit,
    broadcast_recipients,
    messages,
    payloads,
    updates,
)
from tempogram.storage.privacy.of_chats import BY_CHAT, is_of_chat, names_of, rows_of

PAGE = 200

Row = dict[str, Any]


class ChatExport:
    """Gives the rows of a chat, each with the name of its ``table``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self, bot_id: int, chat_id: ChatId) -> AsyncIterator[Row]:
        """Give every row; what is written meanwhile may be among them or not.

        Texts are in ``payloads`` (messages that wait, and dead letters), ``texts`` and ``updates``; the files of a
        message are named in ``attachments``, without their bytes.

        Raises:
            LedgerError: The database cannot be read; what was given so far is not all.
        """
        names = await names_of(self._database, bot_id, chat_id)
        for table in (*BY_CHAT, broadcast_recipients):
            async for row in self._pages(table, rows_of(table, bot_id, names)):
                yield _shown(table, row)
        async for message in self._pages(messages, rows_of(messages, bot_id, names)):
            yield _shown(messages, message)
            for table in (payloads, attempts, attachments):
                async for row in self._pages(table, table.c.message_id == message["id"]):
                    yield _shown(table, row)
        async for row in self.updates(bot_id, names):
            yield _shown(updates, row)
        targets = [f"bot_id={bot_id} chat_id={name}" for name in names]
        async for row in self._pages(audit, audit.c.target.in_(targets)):
            yield _shown(audit, row)

    async def updates(self, bot_id: int, names: Collection[str]) -> AsyncIterator[Row]:
        """Give the updates of a chat. The updates of a bot have no index by chat; they are kept for two days."""
        async for row in self._pages(updates, updates.c.bot_id == bot_id):
            if is_of_chat(row["body"], names):
                yield row

    async def _pages(self, table: Table, is_meant: ColumnElement[bool]) -> AsyncIterator[Row]:
        key = list(table.primary_key.columns)
        after: tuple[Any, ...] | None = None
        while True:
            query = select(table).where(is_meant).order_by(*key).limit(PAGE)
            if after is not None:
                query = query.where(tuple_(*key) > after)
            async with self._database.reading() as connection:
                rows = [dict(row) for row in (await connection.execute(query)).mappings()]
            for row in rows:
                yield row
            if len(rows) < PAGE:
                return
            after = tuple(rows[-1][column.name] for column in key)


def _shown(table: Table, row: Row) -> Row:
    # As ``str``: SQLAlchemy's own kind of text is none that can be encoded.
    return {"table": str(table.name)} | {str(name): _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return value.hex()
