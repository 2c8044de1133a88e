"""Takes over what a process that has ended left unhandled.

While a process lives, it holds the lock of its number (see ``membership``): whoever gets it may have what was left.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, TextClause, text

from tempogram.storage.processes.membership import lock_id

EVERY_OTHER = "SELECT DISTINCT owner FROM updates WHERE status = 'received' AND owner <> :process"

LEFT = f"""
    WITH gone AS MATERIALIZED (
        SELECT owner FROM ({EVERY_OTHER}) AS owners WHERE pg_try_advisory_xact_lock({lock_id("owner")})
    ),
    left_behind AS (
        SELECT bot_id, update_id FROM updates
        WHERE status = 'received' AND owner IN (SELECT owner FROM gone)
        ORDER BY received_at_ms, update_id, bot_id LIMIT :limit
    )
"""  # noqa: S608 - put together from constants

LEFT_ALONE = """
    WITH left_behind AS (
        SELECT bot_id, update_id FROM updates
        WHERE status = 'received' AND owner <> :process
        ORDER BY received_at_ms, update_id, bot_id LIMIT :limit
    )
"""

TAKE = """
    UPDATE updates SET owner = :process
    WHERE status = 'received' AND (bot_id, update_id) IN (SELECT bot_id, update_id FROM left_behind)
    RETURNING bot_id, update_id, body, received_at_ms
"""

ADOPT = {"postgresql": text(LEFT + TAKE), "sqlite": text(LEFT_ALONE + TAKE)}


def adopt(connection: Connection, process: int, limit: int) -> list[Row[Any]]:
    """Make unhandled updates of others ours, and return them in the order of arrival; in SQLite no other lives."""
    rows = connection.execute(_statement(connection), {"process": process, "limit": limit}).all()
    return sorted(rows, key=lambda row: (row.received_at_ms, row.update_id, row.bot_id))


def _statement(connection: Connection) -> TextClause:
    return ADOPT[connection.dialect.name]
