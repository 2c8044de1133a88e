"""The migrations of the tables, and ``migrate``, which applies them.

No ``alembic.ini`` is needed. A new migration is a file in ``versions/`` that names the one before it in
``down_revision``.

Read in this order:

    env        what Alembic runs for each migration
    versions/  the migrations
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.driver_errors import DRIVER_ERRORS, as_ledger_error
from tempogram.storage.database.engines import parse
from tempogram.storage.database.models import metadata
from tempogram.storage.database.writers import writer_of

if TYPE_CHECKING:
    from alembic.config import Config

log = structlog.get_logger()

ADVISORY_LOCK = 7_270_837_100
"""Any number, the same in every version: two processes that start at once migrate one after the other."""


REVISION = re.compile(r"\d{4}")
"""What a version of the tables looks like; ``alembic init`` makes twelve hexadecimal digits."""

FOREIGN = (
    "DATABASE_URL leads to a database with {what}; give Tempogram a database of its own (a program that has a "
    "DATABASE_URL for itself passes another one as a keyword: Tempogram(database_url=…))"
)


async def migrate(url: str) -> None:
    """Bring the tables up to date; tables of this or a newer version are left as they are.

    Several processes may call it at once: one migrates, the others wait.

    Raises:
        SettingsError: The URL is not usable, or leads to a database of another program.
        LedgerError: The database cannot be reached, or refused; nothing was changed.
    """
    writer = writer_of(parse(url))
    try:
        await writer.transact(_upgrade)
    except DRIVER_ERRORS as error:
        raise as_ledger_error(error) from error
    finally:
        await writer.close()


async def versions(connection: AsyncConnection) -> tuple[str | None, str]:
    """Return the version of the tables, None before the first migration, and the version that this code needs."""
    return await connection.run_sync(_versions)


def _versions(connection: Connection) -> tuple[str | None, str]:
    there = inspect(connection).has_table("alembic_version")
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if there else None
    return found, newest()


def newest() -> str:
    """Return the version that this code needs, by the names of the files: most starts need no more of Alembic."""
    return max(path.stem[:4] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py"))


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # SQLite's transaction has the whole file already
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
    found, wanted = _versions(connection)
    _check_own(connection, found)
    if found and found > wanted:  # older processes may still be started while newer ones run
        log.warning("database_is_newer", found=found, known=wanted)
    elif found != wanted:
        from alembic import command  # 8 MB, which a process would keep

        command.upgrade(config_of(connection), "head")


def _check_own(connection: Connection, found: str | None) -> None:
    """Refuse a database with tables of another program: some of ours would have their names.

    Raises:
        SettingsError: It has some.
    """
    if found is not None and not REVISION.fullmatch(found):
        raise SettingsError(FOREIGN.format(what=f"the revision {found!r} of another program's migrations"))
    names = set(inspect(connection).get_table_names()) if found is None else set()
    if taken := sorted(names & metadata.tables.keys()):
        raise SettingsError(FOREIGN.format(what=f"a table {taken[0]!r} that is not Tempogram's"))


def config_of(connection: Connection) -> Config:
    """Return a configuration for Alembic's commands that runs them in an open transaction."""
    config = _config()
    config.attributes["connection"] = connection
    return config


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
