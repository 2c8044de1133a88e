"""Opens SQLite and PostgreSQL: what a URL names, and the connections that read and write it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tempogram.engine.model.errors import SettingsError

SQLITE_NAMES = ("sqlite", "sqlite+aiosqlite")
POSTGRES_NAMES = ("postgres", "postgresql", "postgresql+asyncpg")

POSTGRES_PORT = 5432

BUSY_TIMEOUT_MS = 5_000
"""How long a write waits for another process that writes to the same SQLite file. Untuned: one process writes."""

CONNECT_TIMEOUT_S = 10
QUERY_TIMEOUT_S = 30
"""A PostgreSQL that does not answer for this long counts as unavailable; without it a caller would wait for ever."""

READERS = 8
"""Connections that a process reads with. A caller that finds none free waits a few milliseconds: opening another takes
longer. Measured: twenty concurrent reads were 1.5 times as fast as with a connection opened for each. Untuned: any
number from four to twenty does."""

PLANNER_SETTINGS = {"plan_cache_mode": "force_custom_plan", "enable_sort": "off", "jit": "off"}
"""How PostgreSQL shall plan queries on tables that have just grown.

It keeps the plan of a prepared statement, and a plan made while the tables were small reads them whole:
with 200,000 waiting, a message took 4.5 ms instead of 0.1. And it sorted all of them for each page, although an
index has them in order: 440 ms instead of 30.
"""


def parse(url: str) -> URL:
    """Return the URL with the driver that we use.

    Raises:
        SettingsError: The URL names no database that we can use.

    >>> parse("postgres://me:secret@db/tempogram").drivername
    'postgresql+asyncpg'
    >>> parse("mysql://me:secret@db/fleet")
    Traceback (most recent call last):
    tempogram.engine.model.errors.SettingsError: DATABASE_URL mysql://me:***@db/fleet is neither sqlite:///… nor postgresql://…
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        # What cannot be parsed cannot be quoted either: the password may stand anywhere in it.
        raise SettingsError("DATABASE_URL is not a URL; it should begin with sqlite:/// or postgresql://") from None
    if parsed.drivername in POSTGRES_NAMES:
        return parsed.set(drivername="postgresql+asyncpg")
    if parsed.drivername not in SQLITE_NAMES:
        raise SettingsError(f"DATABASE_URL {parsed} is neither sqlite:///… nor postgresql://…")
    if parsed.database in {None, "", ":memory:"}:
        raise SettingsError(f"DATABASE_URL {parsed} names no file, and the database must outlive the process")
    return parsed.set(drivername="sqlite+aiosqlite")


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def name_of(url: str) -> str:
    """Name a database without its password.

    >>> name_of("postgres://me:secret@db/tempogram")
    'PostgreSQL at db:5432, database tempogram'
    """
    parsed = parse(url)
    if is_sqlite(parsed):
        return f"the database {parsed.database}"
    host = f"{parsed.host}:{parsed.port or POSTGRES_PORT}" if parsed.host else "this machine"
    return f"PostgreSQL at {host}, database {parsed.database}"


def database_exists(url: str) -> bool:
    """Tell whether there is a database to connect to: opening a missing SQLite file would create it."""
    parsed = parse(url)
    return not is_sqlite(parsed) or Path(parsed.database or "").exists()


def reading_engine(url: URL, *, connections: int = READERS, query_timeout_s: float = QUERY_TIMEOUT_S) -> AsyncEngine:
    """Return a pool of connections that read.

    On PostgreSQL each statement is a transaction of its own, which spares two round trips, and two more for the check
    that a connection is still alive; ``PostgresWriter`` has one of these for itself, and begins transactions.
    """
    pool = {"hide_parameters": True, "pool_size": connections, "max_overflow": 0, "pool_timeout": query_timeout_s}
    if is_sqlite(url):
        engine = create_async_engine(url, **pool)
        event.listen(engine.sync_engine, "connect", _prepare_reader)
        return engine
    arguments = {
        "timeout": CONNECT_TIMEOUT_S,
        "command_timeout": query_timeout_s,
        "server_settings": PLANNER_SETTINGS,
    }
    return create_async_engine(url, isolation_level="AUTOCOMMIT", pool_pre_ping=True, connect_args=arguments, **pool)


def sqlite_writing_engine(url: URL) -> Engine:
    """Return SQLite's engine without asyncio: the one connection that writes lives in a thread of its own."""
    Path(url.database or "").absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url.set(drivername="sqlite"), hide_parameters=True, connect_args={"check_same_thread": False}
    )
    event.listen(engine, "connect", _prepare_writer)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _prepare_writer(connection: DBAPIConnection, _: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself
    _set(connection, busy_timeout=BUSY_TIMEOUT_MS, journal_mode="WAL", synchronous="NORMAL", foreign_keys="ON")


def _prepare_reader(connection: DBAPIConnection, _: object) -> None:
    _set(connection, busy_timeout=BUSY_TIMEOUT_MS, query_only="ON")


def _set(connection: DBAPIConnection, **pragmas: str | int) -> None:
    cursor = connection.cursor()
    for name, value in pragmas.items():
        cursor.execute(f"PRAGMA {name} = {value}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    # Immediate: a transaction that begins with a read could not become a writing one beside another process.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
