"""The id of the ledger, by which a queue in Redis says to which database it belongs.

It is made with the table, so there is one from the first start on, and no two processes make it. A copy of the database
has the same: such a copy must have a Redis of its own.
"""

from __future__ import annotations

from sqlalchemy import select

from tempogram.storage.database.database import Database
from tempogram.storage.database.models import identity


async def ledger_id(database: Database) -> str:
    """Return the id: 16 hexadecimal digits.

    Raises:
        LedgerError: It cannot be read.
    """
    async with database.reading() as connection:
        return str((await connection.execute(select(identity.c.ledger_id))).scalar_one())
