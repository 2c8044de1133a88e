"""Stores holds: a later deadline replaces an earlier one, never the reverse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from tempogram.engine.model.messages import Hold
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import holds
from tempogram.storage.ledger import chat_ids

WHOLE_BOT = ""
"""The ``chat_id`` of a hold of all chats: a key cannot be NULL."""


def hold(connection: Connection, items: Sequence[Hold]) -> list[None]:
    if items:
        write = insert_by(holds, connection)
        later = write.on_conflict_do_update(
            index_elements=[holds.c.bot_id, holds.c.chat_id],
            set_={"until_ms": write.excluded.until_ms},
            where=write.excluded.until_ms > holds.c.until_ms,
        )
        connection.execute(later.values(latest(items)))
    return [None] * len(items)


def latest(items: Iterable[Hold]) -> list[dict[str, object]]:
    """Return one row for each chat: PostgreSQL changes no row twice in one statement.

    >>> latest([Hold(7, None, 50), Hold(7, None, 20)])
    [{'bot_id': 7, 'chat_id': '', 'until_ms': 50}]
    """
    until_ms: dict[tuple[int, str], int] = {}
    for each in items:
        key = each.bot_id, chat_ids.to_text(each.chat_id) or WHOLE_BOT
        until_ms[key] = max(until_ms.get(key, 0), each.until_ms)
    return [{"bot_id": bot_id, "chat_id": chat, "until_ms": until} for (bot_id, chat), until in until_ms.items()]
