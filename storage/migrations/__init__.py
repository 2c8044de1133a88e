"""The tables' history, and ``migrate``, which brings a database up to date.

No ``alembic.ini`` is needed: everything is found from this package. A new step is a
file in ``versions/`` that names the one before it in ``down_revision``.
"""

from __future__ import annotations

from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tempogram.storage.database.driver_errors import DRIVER_ERRORS, as_ledger_error
from tempogram.storage.database.engines import parse
from tempogram.storage.database.writers import writer_of

log = structlog.get_logger()

ADVISORY_LOCK = 7_270_837_100
"""Any number, as long as it stays the same: two processes that start at once take turns."""


async def migrate(url: str) -> None:
    """Bring the tables up to date; those that are, or are of a newer version, are left as they are.

    Several processes may do so at once: one works, the others wait and find it done.

    Raises:
        SettingsError: The URL makes no sense.
        LedgerError: The database cannot be reached, or refused; nothing was changed.
    """
    writer = writer_of(parse(url))
    try:
        await writer.transact(_upgrade)
    except DRIVER_ERRORS as error:
        raise as_ledger_error(error) from error
    finally:
        await writer.close()


async def versions(connection: AsyncConnection) -> tuple[str | None, str | None]:
    """Return the version of the tables, None before the first migration, and the version that this code needs."""
    return await connection.run_sync(_versions)


def _versions(connection: Connection) -> tuple[str | None, str | None]:
    found = MigrationContext.configure(connection).get_current_revision()
    return found, ScriptDirectory.from_config(_config()).get_current_head()


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # SQLite's transaction has the whole file already
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
    found, wanted = _versions(connection)
    if found and wanted and found > wanted:  # while newer processes run, older ones may still be started
        log.warning("the tables are of a newer version", found=found, known=wanted)
    else:
        command.upgrade(config_of(connection), "head")


def config_of(connection: Connection) -> Config:
    """Return what Alembic's commands take, to run in a transaction that is open."""
    config = _config()
    config.attributes["connection"] = connection
    return config


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
