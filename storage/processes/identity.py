"""The id of the ledger, by which a queue in Redis says to which database it belongs, and the check of its key.

A copy of the database has the same: such a copy must have a Redis of its own.
"""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, select, update

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import identity
from tempogram.storage.keys import Seal

ROW = 1

CHECKED, NO_BOT = "tempogram", 0
"""What is sealed as the check, and for which bot."""


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


async def check_key(database: Database, seal: Seal) -> None:
    """Compare ``SECRET_KEY`` with that of the processes before; the first one that asks sets it.

    Raises:
        SettingsError: It is another one: what one process stores, the others could not read.
        LedgerError: It cannot be compared.
    """
    await ledger_id(database)  # the row is there
    own, same = seal.seal(CHECKED, bot_id=NO_BOT), identity.c.id == ROW

    def write(connection: Connection) -> None:
        connection.execute(update(identity).where(same, identity.c.key_check.is_(None)).values(key_check=own))

    await database.write_alone(write)
    async with database.reading() as connection:
        stored = (await connection.execute(select(identity.c.key_check).where(same))).scalar_one()
    try:
        seal.open(stored, bot_id=NO_BOT)
    except SettingsError:
        raise SettingsError(
            "SECRET_KEY is not the one of the other processes of this database, so they could not read each other's "
            "bot tokens; give every process the same SECRET_KEY, or the same file secret_key in DATA_DIR"
        ) from None
