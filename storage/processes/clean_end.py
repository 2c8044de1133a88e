"""Notices what the end of the last process of an SQLite file has cost, if that was no clean end.

A process that is killed leaves its last commits in the WAL, and the next one finds them there, unless the WAL was
deleted or damaged meanwhile: then SQLite leaves them out without a word. So a mark in the database's own header says
that it is in use. A clean end takes it away, and writes all commits into the file.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress

import structlog

from tempogram.engine.model.errors import LedgerError
from tempogram.storage.database.database import Database
from tempogram.storage.database.wal import read_wal
from tempogram.storage.processes.file_lock import LockedFile, wal_of

log = structlog.get_logger()

IN_USE, ENDED = 0x7E390A, 0
"""What ``PRAGMA user_version`` says; any number that no other program uses, the same in every version."""

MAGIC = b"SQLite format 3\0"
USER_VERSION_AT = 60
"""Where a file's header has them. Source: https://www.sqlite.org/fileformat2.html#the_database_header"""


def recover(file: LockedFile) -> None:
    """Write what the last process left in the WAL into the file; log it if commits are lost.

    Raises:
        LedgerError: The file cannot be read.
    """
    if not _is_in_use(file):
        return
    path = wal_of(file.path)
    wal = read_wal(path)
    try:
        with closing(sqlite3.connect(file.path, isolation_level=None)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            _, taken, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            connection.execute(f"PRAGMA user_version = {ENDED}")
    except sqlite3.Error as error:
        raise LedgerError(f"the database refused: {error}") from error
    if (found := wal.damage(taken=taken)) is not None:
        log.error(
            "database_commits_lost",
            database=str(file.path),
            reason=f"the last process did not end cleanly, and its WAL {path} {found}: what it committed last is lost, "
            "unless another program has opened the database since",
            way_out="if the WAL still exists somewhere, stop, put both files back as they were, and start again",
        )


@asynccontextmanager
async def marked_in_use(database: Database) -> AsyncIterator[None]:
    """Mark an SQLite file as in use until the block ends; PostgreSQL sees to this itself.

    Raises:
        LedgerError: The mark cannot be written.
    """
    if database.dialect != "sqlite":
        yield
        return
    await _mark(database, IN_USE)
    async with database.reading() as connection:
        await connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")  # from the WAL, it could be lost with it
    try:
        yield
    finally:
        with suppress(LedgerError):  # then it is as after a kill
            await _mark(database, ENDED)


async def _mark(database: Database, mark: int) -> None:
    await database.write_alone(lambda connection: connection.exec_driver_sql(f"PRAGMA user_version = {mark}"))


def _is_in_use(file: LockedFile) -> bool:
    """Read the mark in the file itself, not in the WAL."""
    header = os.pread(file.descriptor, USER_VERSION_AT + 4, 0)
    return header.startswith(MAGIC) and int.from_bytes(header[USER_VERSION_AT:], "big") == IN_USE
