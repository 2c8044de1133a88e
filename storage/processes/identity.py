"""The id of the ledger, by which a queue in Redis says to which database it belongs.

A copy of the database has the same: such a copy must have a Redis of its own.
"""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, select

from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import identity

ROW = 1


async def ledger_id(database: Database) -> str:
    """Return the id, 16 hexadecimal digits; the first process that asks makes it.

    Raises:
        LedgerError: It cannot be read, or made.
    """
    return await _stored(database) or await _made(database)


async def _stored(database: Database) -> str:
    async with database.reading() as connection:
        return str((await connection.execute(select(identity.c.ledger_id))).scalar() or "")


async def _made(database: Database) -> str:
    made = {"id": ROW, "ledger_id": secrets.token_hex(8)}

    def write(connection: Connection) -> None:
        connection.execute(insert_by(identity, connection).values(made).on_conflict_do_nothing())

    await database.write_alone(write)
    return await _stored(database)  # that of another process, if it came first
