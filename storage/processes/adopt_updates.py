"""Takes over the updates that a dead process left unhandled.

A living process holds the lock of its number (see ``membership``); if another process gets that lock, it may take
the updates.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, TextClause, text

from tempogram.storage.processes.membership import lock_id

OTHER_OWNERS = "SELECT DISTINCT owner FROM updates WHERE status = 'received' AND owner <> :process"

ABANDONED = f"""
    WITH dead AS MATERIALIZED (
        SELECT owner FROM ({OTHER_OWNERS}) AS owners WHERE pg_try_advisory_xact_lock({lock_id("owner")})
    ),
    abandoned AS (
        SELECT bot_id, update_id FROM updates
        WHERE status = 'received' AND owner IN (SELECT owner FROM dead)
        ORDER BY received_at_ms, update_id, bot_id LIMIT :limit
    )
"""  # noqa: S608 - put together from constants

ABANDONED_SQLITE = """
    WITH abandoned AS (
        SELECT bot_id, update_id FROM updates
        WHERE status = 'received' AND owner <> :process
        ORDER BY received_at_ms, update_id, bot_id LIMIT :limit
    )
"""

TAKE = """
    UPDATE updates SET owner = :process
    WHERE status = 'received' AND (bot_id, update_id) IN (SELECT bot_id, update_id FROM abandoned)
    RETURNING bot_id, update_id, body, received_at_ms
"""

ADOPT = {"postgresql": text(ABANDONED + TAKE), "sqlite": text(ABANDONED_SQLITE + TAKE)}


def adopt(connection: Connection, process: int, limit: int) -> list[Row[Any]]:
    """Make unhandled updates of dead processes ours, and return them in order of arrival; SQLite has one process."""
    rows = connection.execute(_statement(connection), {"process": process, "limit": limit}).all()
    return sorted(rows, key=lambda row: (row.received_at_ms, row.update_id, row.bot_id))


def _statement(connection: Connection) -> TextClause:
    return ADOPT[connection.dialect.name]
