"""One database: where it is, how to write to it and how to read it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.driver_errors import DRIVER_ERRORS, as_ledger_error
from tempogram.storage.database.group_commit import GroupCommit, Verb, Writer
from tempogram.storage.database.writers import NoWriter, PostgresWriter, SqliteWriter

SQLITE_NAMES = ("sqlite", "sqlite+aiosqlite")
POSTGRES_NAMES = ("postgres", "postgresql", "postgresql+asyncpg")

BUSY_TIMEOUT_MS = 5_000
"""How long a write waits for another process that writes to the same SQLite file. A guess."""

CONNECT_TIMEOUT_S = 10
COMMAND_TIMEOUT_S = 30
"""A PostgreSQL that does not answer for so long is away; without it a caller would wait for ever."""

READERS = 8
"""Connections that a process reads with. Who wants one more waits a few milliseconds:
to open one takes longer. Twenty at once read 1.5 times as fast as where each opened its own. A guess."""

PLANNING = {"plan_cache_mode": "force_custom_plan", "enable_sort": "off", "jit": "off"}
"""How PostgreSQL shall plan, which knows nothing of a table that has just grown:

It keeps the plan of a prepared statement, and one made while the tables were small reads them whole:
with 200,000 waiting, a message took 4.5 ms instead of 0.1. And it sorted all of them for each page, where an
index has them in order: 440 ms instead of 30.
"""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Database:
    """Open it with ``Database.open``; every repository is built from one."""

    def __init__(self, readers: AsyncEngine, commits: GroupCommit) -> None:
        self._readers = readers
        self._commits = commits

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect, and bring the tables up to date.

        Args:
            url: ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or ``postgresql://user:password@host/name``.

        Raises:
            SettingsError: The URL makes no sense.
            LedgerError: The database cannot be reached.
        """
        from tempogram.storage.migrations import migrate  # Alembic takes a while to import

        await migrate(url)
        parsed = parse(url)
        return cls(reading_engine(parsed), GroupCommit(writer_of(parsed)))

    @classmethod
    def look(cls, url: str, *, answer_within_s: float = COMMAND_TIMEOUT_S) -> Self:
        """Connect to read, and leave everything as it is; whatever is written raises ``LedgerError``.

        Raises:
            SettingsError: The URL makes no sense.
        """
        return cls(reading_engine(parse(url), answer_within_s=answer_within_s), GroupCommit(NoWriter()))

    @property
    def dialect(self) -> str:
        """Tell whether it is ``sqlite`` or ``postgresql``; nobody is asked."""
        return self._readers.dialect.name

    @property
    def transactions(self) -> int:
        """How many were committed; divided by what was written, it tells how well callers are grouped."""
        return self._commits.transactions

    async def write(
        self, verb: Verb[Item, Answer], items: Sequence[Item], *, patient: bool = False
    ) -> Sequence[Answer]:
        """See ``GroupCommit.write``."""
        return await self._commits.write(verb, items, patient=patient)

    async def write_alone(self, work: Callable[[Connection], Answer]) -> Answer:
        """See ``GroupCommit.alone``."""
        return await self._commits.alone(work)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection to read from.

        Raises:
            LedgerError: The database cannot be reached, or refused.
        """
        try:
            async with self._readers.connect() as connection:
                yield connection
        except DRIVER_ERRORS as error:
            raise as_ledger_error(error) from error

    async def close(self) -> None:
        """Write what waits, then disconnect."""
        await self._commits.close()
        await self._readers.dispose()


def is_there(url: str) -> bool:
    """Tell whether there is anything to connect to: reading would make an SQLite file that is not."""
    parsed = parse(url)
    return not is_sqlite(parsed) or Path(parsed.database or "").exists()


def parse(url: str) -> URL:
    """Return the URL with the driver we use, or say what is wrong with it.

    >>> parse("postgres://me:secret@db/books").drivername
    'postgresql+asyncpg'
    >>> parse("mysql://me:secret@db/books")
    Traceback (most recent call last):
    tempogram.engine.model.errors.SettingsError: DATABASE_URL mysql://me:***@db/books is neither sqlite:///… nor postgresql://…
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        # What cannot be parsed cannot be quoted either: nobody knows where the password stands in it.
        raise SettingsError("DATABASE_URL is no URL; it begins with sqlite:/// or postgresql://") from None
    if parsed.drivername in POSTGRES_NAMES:
        return parsed.set(drivername="postgresql+asyncpg")
    if parsed.drivername not in SQLITE_NAMES:
        raise SettingsError(f"DATABASE_URL {parsed} is neither sqlite:///… nor postgresql://…")
    if parsed.database in {None, "", ":memory:"}:
        raise SettingsError(f"DATABASE_URL {parsed} names no file, and the books must outlive the process")
    return parsed.set(drivername="sqlite+aiosqlite")


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def reading_engine(url: URL, *, connections: int = READERS, answer_within_s: float = COMMAND_TIMEOUT_S) -> AsyncEngine:
    """Return a pool that reads.

    On PostgreSQL each statement is a transaction of its own, which spares two round trips, and two more for the look
    whether a connection still stands; the writer has one of these for itself, and makes transactions.
    """
    pool = {"hide_parameters": True, "pool_size": connections, "max_overflow": 0, "pool_timeout": answer_within_s}
    if is_sqlite(url):
        engine = create_async_engine(url, **pool)
        event.listen(engine.sync_engine, "connect", _prepare_reader)
        return engine
    arguments = {"timeout": CONNECT_TIMEOUT_S, "command_timeout": answer_within_s, "server_settings": PLANNING}
    return create_async_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True, connect_args=arguments, **pool)


def writer_of(url: URL) -> Writer:
    """Return what writes, with a connection of its own that nobody who reads keeps it waiting for."""
    if is_sqlite(url):
        return SqliteWriter(writing_engine(url))
    return PostgresWriter(reading_engine(url, connections=1))


def writing_engine(url: URL) -> Engine:
    """Return SQLite's own, without asyncio: it lives in one thread. See ``writers``."""
    Path(url.database or "").absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url.set(drivername="sqlite"), hide_parameters=True, connect_args={"check_same_thread": False}
    )
    event.listen(engine, "connect", _prepare_writer)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _prepare_writer(connection: DBAPIConnection, _: object) -> None:
    connection.isolation_level = None  # the driver shall not begin by itself
    _set(connection, busy_timeout=BUSY_TIMEOUT_MS, journal_mode="WAL", synchronous="NORMAL", foreign_keys="ON")


def _prepare_reader(connection: DBAPIConnection, _: object) -> None:
    _set(connection, busy_timeout=BUSY_TIMEOUT_MS, query_only="ON")


def _set(connection: DBAPIConnection, **pragmas: str | int) -> None:
    cursor = connection.cursor()
    for name, value in pragmas.items():
        cursor.execute(f"PRAGMA {name} = {value}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    # Immediate: a transaction that begins with reading could not become a writing one beside another process.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
