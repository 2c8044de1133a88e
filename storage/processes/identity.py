"""The id of the ledger, by which a queue in Redis says to which database it belongs, and the check of its key.

A copy of the database has the same: such a copy must have a Redis of its own.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, func, inspect, select, update

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.bots import Bots
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import bots, identity
from tempogram.storage.keys import NO_BOT, Seal
from tempogram.storage.present_key import ROW, change_under_way, end_change, locked_change

CHECKED = "tempogram"
"""What is encrypted as the check."""


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

    A key that decrypts any bot's token is the right one, whatever became of other rows. Where nothing is encrypted, any
    key is, unless other processes may run with another one. While the key is being changed both are needed, as rows are
    under either; see ``KeyRotation``.

    Raises:
        SettingsError: It is another one: what one process stores, the others could not read.
        LedgerError: It cannot be compared.
    """
    await ledger_id(database)  # the row is there
    await check_change(database, seal)
    tokens = (await Bots(database, seal).tokens()).values()
    may_be_right = not tokens or any(token is not None for token in tokens)
    if may_be_right:
        await _set_check(database, seal, identity.c.key_check.is_(None))
    if await take_present_key(database, seal):
        return
    if tokens and may_be_right:
        await adopt_key(database, seal)
    elif tokens:
        raise SettingsError(
            f"SECRET_KEY is not the one with which the tokens of {bots_in_words(len(tokens))} in the database were "
            f"encrypted; {WAY_OUT}"
        )
    elif database.dialect == "sqlite":
        await adopt_key(database, seal)
    else:
        raise SettingsError(
            "SECRET_KEY is not the one of the other processes of this database, so they could not read each other's "
            "bot tokens; give every process the same SECRET_KEY, or the same file secret_key in DATA_DIR (if none runs "
            "with the former one, tempogram keys rotate makes this one theirs)"
        )


async def check_change(database: Database, seal: Seal) -> None:
    """Refuse a process without both keys while the key is being changed, but for one that reads every row.

    Raises:
        SettingsError: It would leave out the bots under the other key, or take back what was changed.
        LedgerError: It cannot be found out.
    """
    if await change_under_way(database) is None:
        return
    if await database.write_alone(lambda connection: end_change(connection, seal)):
        return
    change = await change_under_way(database)
    if change is not None and not change.has_both(seal):
        raise SettingsError(CHANGE_UNDER_WAY)


async def check_no_key(database: Database, path: Path) -> None:
    """Refuse to make a first key where tokens are encrypted with one that is not there.

    Raises:
        SettingsError: There are such tokens.
        LedgerError: They cannot be read.
    """
    async with database.reading() as connection:
        encrypted = (
            await connection.execute(select(func.count()).where(bots.c.sealed_token.is_not(None)))
        ).scalar_one()
    if encrypted:
        raise SettingsError(
            f"SECRET_KEY is not set, and its file {path} is missing, though the tokens of {bots_in_words(encrypted)} "
            f"in the database were encrypted with it; {WAY_OUT}"
        )


async def check_former_key(database: Database, former: Seal, path: Path) -> None:
    """Refuse to make a new key where the database has a newer one than the former one already.

    Raises:
        SettingsError: It has: that was made, and is missing.
        LedgerError: It cannot be read.
    """
    async with database.reading() as connection:
        if not await connection.run_sync(_may_have_check):
            return
        check = (await connection.execute(select(identity.c.key_check).where(identity.c.id == ROW))).scalar()
    if check is not None and former.open(check, bot_id=NO_BOT) != CHECKED:
        raise SettingsError(
            f"SECRET_KEY is not set, and its file {path} is missing, though the database has another key than "
            f"FORMER_SECRET_KEY; {WAY_OUT}"
        )


async def is_key(database: Database, seal: Seal) -> bool:
    """Tell whether a key is the one of this database, or any may be, as nothing is encrypted yet."""
    tokens = (await Bots(database, seal).tokens()).values()
    return await take_present_key(database, seal) or not tokens or any(token is not None for token in tokens)


async def take_present_key(database: Database, seal: Seal) -> bool:
    """Encrypt with the key of this database from now on; False: it is none of these."""
    stored_key = select(identity.c.key_check, identity.c.key_fingerprint).where(identity.c.id == ROW)
    async with database.reading() as connection:
        stored = (await connection.execute(stored_key)).first()
    if stored is None or stored.key_check is None or seal.open(stored.key_check, bot_id=NO_BOT) != CHECKED:
        return False
    seal.write_as(stored.key_check, bot_id=NO_BOT)
    if stored.key_fingerprint != seal.digests.fingerprint:  # of a version that did not store it
        await _set_check(database, seal, identity.c.key_check == stored.key_check)
    return True


async def adopt_key(database: Database, seal: Seal) -> None:
    """Make ``SECRET_KEY`` the one of this database, whatever the former one was.

    Raises:
        SettingsError: A change has begun for which this process does not have both keys; nothing was changed.
    """
    await ledger_id(database)

    def adopt(connection: Connection) -> None:
        change = locked_change(connection)
        if change is not None and not change.has_both(seal):
            raise SettingsError(CHANGE_UNDER_WAY)
        adopt_in(connection, seal)

    await database.write_alone(adopt)


def adopt_in(connection: Connection, seal: Seal) -> None:
    """Make ``SECRET_KEY`` the one of this database with this transaction."""
    seal.write_with_secret_key()
    connection.execute(update(identity).where(identity.c.id == ROW).values(_checked_by(seal)))


CHANGE_UNDER_WAY = (
    "SECRET_KEY is being changed, and this process does not have both keys; start it with the new one as SECRET_KEY "
    "and the former one as FORMER_SECRET_KEY, and call tempogram keys rotate --running until it says that the former "
    "one is not needed any more (if one of the two is lost: tempogram keys rotate --other-lost)"
)


WAY_OUT = (
    "set SECRET_KEY to the one that was used before, or restore its file; if it is lost, tempogram keys lists the bots "
    "and tempogram keys enter takes their tokens anew"
)


def bots_in_words(count: int) -> str:
    return "1 bot" if count == 1 else f"{count} bots"


def _may_have_check(connection: Connection) -> bool:
    """Tell whether the tables are there, and new enough."""
    tables = inspect(connection)
    return tables.has_table(identity.name) and "key_check" in {
        each["name"] for each in tables.get_columns(identity.name)
    }


async def _set_check(database: Database, seal: Seal, condition: ColumnElement[bool]) -> None:
    write = update(identity).where(identity.c.id == ROW, condition).values(_checked_by(seal))
    await database.write_alone(lambda connection: connection.execute(write))


def _checked_by(seal: Seal) -> dict[str, object]:
    return {"key_check": seal.seal(CHECKED, bot_id=NO_BOT), "key_fingerprint": seal.digests.fingerprint}
