"""Stores holds: a later deadline replaces an earlier one, never the reverse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from tempogram.engine.model.messages import Hold
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import holds
from tempogram.storage.ledger import chat_ids

WHOLE_BOT = ""
"""The ``chat_id`` of a hold of all chats: a key cannot be NULL."""


class BegunHold(NamedTuple):
    """A hold, and when it began; None: it was written before that was."""

    hold: Hold
    since_ms: int | None


def hold(connection: Connection, items: Sequence[BegunHold]) -> list[None]:
    if items:
        write = insert_by(holds, connection)
        later = write.on_conflict_do_update(
            index_elements=[holds.c.bot_id, holds.c.chat_id],
            set_={"until_ms": write.excluded.until_ms, "since_ms": write.excluded.since_ms},
            where=write.excluded.until_ms > holds.c.until_ms,
        )
        connection.execute(later.values(latest(items)))
    return [None] * len(items)


def latest(items: Iterable[BegunHold]) -> list[dict[str, object]]:
    """Return one row for each chat: PostgreSQL changes no row twice in one statement.

    >>> latest([BegunHold(Hold(7, None, 50), 40), BegunHold(Hold(7, None, 20), 10)])
    [{'bot_id': 7, 'chat_id': '', 'until_ms': 50, 'since_ms': 40}]
    """
    last: dict[tuple[int, str], BegunHold] = {}
    for each in items:
        key = each.hold.bot_id, chat_ids.to_text(each.hold.chat_id) or WHOLE_BOT
        if key not in last or each.hold.until_ms > last[key].hold.until_ms:
            last[key] = each
    return [
        {"bot_id": bot_id, "chat_id": chat, "until_ms": each.hold.until_ms, "since_ms": each.since_ms}
        for (bot_id, chat), each in last.items()
    ]
