"""Writes chats, tags and claims as a test wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert

from tempogram.storage.database.database import Database
from tempogram.storage.database.models import campaign_claims, chat_tags, chats
from tests.storage.backends import BOT
from tests.storage.selection.reference import ChatRow

FAR_MS = 4_000_000_000_000


async def fill(database: Database, rows: Sequence[ChatRow], *, bot_id: int = BOT) -> None:
    """Make these the chats of a bot, and delete all others."""

    def write(connection: Connection) -> None:
        for table in (campaign_claims, chat_tags, chats):
            connection.execute(delete(table))
        _insert(connection, chats, [_chat(bot_id, row) for row in rows])
        tags = [{"bot_id": bot_id, "tag": tag, "chat_id": row.chat_id} for row in rows for tag in row.tags]
        _insert(connection, chat_tags, tags)
        _insert(connection, campaign_claims, [each for row in rows for each in _claims(bot_id, row)])

    await database.write_alone(write)


def _insert(connection: Connection, table: Any, values: list[dict[str, Any]]) -> None:
    if values:
        connection.execute(insert(table), values)


def _chat(bot_id: int, row: ChatRow) -> dict[str, Any]:
    begin, end = row.quiet or (None, None)
    return {
        "bot_id": bot_id,
        "chat_id": row.chat_id,
        "type": row.type,
        "time_zone": row.time_zone,
        "language": row.language,
        "reachable": row.reachable,
        "reason": None if row.reachable else "Forbidden: gone",
        "opted_out_at_ms": 1 if row.opted_out else None,
        "alias_of": row.alias_of,
        "last_message_in_at_ms": row.last_in_ms,
        "last_message_out_at_ms": row.last_out_ms,
        "quiet_from": begin,
        "quiet_until": end,
    }


def _claims(bot_id: int, row: ChatRow) -> list[dict[str, Any]]:
    dates: dict[str, int] = {}
    found = []
    for on, campaign in sorted(row.claims):
        slot = dates[on] = dates.get(on, -1) + 1
        found.append(
            {
                "bot_id": bot_id,
                "chat_id": row.chat_id,
                "local_date": on,
                "campaign": campaign,
                "slot": slot,
                "zone": "UTC",
                "day_ends_ms": FAR_MS,
                "claimed_at_ms": 1,
            }
        )
    return found
