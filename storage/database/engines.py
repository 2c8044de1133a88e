"""Opens SQLite and PostgreSQL: what a URL names, and the connections that read and write it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import to_list

from tempogram.engine.model.errors import SettingsError

SQLITE_NAMES = ("sqlite", "sqlite+aiosqlite")
POSTGRES_NAMES = ("postgres", "postgresql", "postgresql+asyncpg")

POSTGRES_PARAMETERS = frozenset(
    {"database", "gsslib", "host", "krbsrvname", "passfile", "password", "port"}
    | {"prepared_statement_cache_size", "ssl", "target_session_attrs", "user"}
)
"""What may stand after the ``?`` of a URL: parameters of ``asyncpg.connect`` that are texts."""

PORT_MAX = 65_535

UNREADABLE = (
    "DATABASE_URL makes no sense: its host is not a name, or its port not a number from 1 to 65535; write / # ? @ : in "
    "a user or a password as %2F %23 %3F %40 %3A"
)
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
    tempogram.engine.model.errors.SettingsError: DATABASE_URL begins with mysql://; it must begin with sqlite:/// or postgresql://
    """
    # It is never quoted: a password may stand anywhere in it, above all where it cannot be parsed.
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError("DATABASE_URL is not a URL; it must begin with sqlite:/// or postgresql://") from None
    except ValueError:
        raise SettingsError(UNREADABLE) from None
    if parsed.drivername in POSTGRES_NAMES:
        return _checked(parsed.set(drivername="postgresql+asyncpg"))
    if parsed.drivername not in SQLITE_NAMES:
        raise SettingsError(
            f"DATABASE_URL begins with {parsed.drivername}://; it must begin with sqlite:/// or postgresql://"
        )
    if parsed.database in {None, "", ":memory:"}:
        raise SettingsError("DATABASE_URL names no file, and the database must outlive the process")
    if parsed.query:
        raise SettingsError("DATABASE_URL gives a file with parameters; write its path, as in sqlite:///path")
    return parsed.set(drivername="sqlite+aiosqlite")


def _checked(url: URL) -> URL:
    """Return a URL of PostgreSQL; the driver would refuse it with an error of Python's, at the first connection.

    Raises:
        SettingsError: The host, the port or a parameter makes no sense.
    """
    if unknown := url.query.keys() - POSTGRES_PARAMETERS:
        said = "write ssl=require" if "sslmode" in unknown else f"it takes {', '.join(sorted(POSTGRES_PARAMETERS))}"
        raise SettingsError(f"DATABASE_URL has a parameter after ? that the driver does not take; {said}")
    try:
        url.get_dialect()().create_connect_args(url)
        for host in (url.host or "", *to_list(url.query.get("host", ""))):
            host.encode("idna")  # as the resolver does
        is_port = url.port is None or 0 < url.port <= PORT_MAX
    except (ArgumentError, ValueError):
        is_port = False
    if not is_port:
        raise SettingsError(UNREADABLE)
    return url


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

    On PostgreSQL each statement is a transaction of its own, which spares two round trips; ``PostgresWriter`` has one
    of these for itself, and begins transactions. A connection that was closed meanwhile is replaced before it is used.
    It is not asked whether it still answers: that would be as much again as most processes ask while nothing happens.
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
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT", connect_args=arguments, **pool)
    event.listen(engine.sync_engine, "checkout", _replace_if_closed)
    return engine


def read_only(url: URL) -> URL:
    """Return the URL by which SQLite leaves its files as they are.

    Otherwise the last connection to close would write the WAL into the database and delete it, and the next start could
    not see that it was still there after a kill; see ``processes.clean_end``.

    >>> read_only(parse("sqlite:////srv/a b.db")).database
    'file:/srv/a%20b.db'
    """
    if not is_sqlite(url):
        return url
    path = quote(str(Path(url.database or "").absolute()))
    return url.set(database=f"file:{path}").update_query_dict({"mode": "ro", "uri": "true"})


def sqlite_writing_engine(url: URL) -> Engine:
    """Return SQLite's engine without asyncio: the one connection that writes lives in a thread of its own."""
    Path(url.database or "").absolute().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = create_engine(
        url.set(drivername="sqlite"), hide_parameters=True, connect_args={"check_same_thread": False}
    )
    event.listen(engine, "connect", _prepare_writer)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _replace_if_closed(connection: DBAPIConnection, _record: object, _proxy: object) -> None:
    """Have the pool open another connection in place of one that PostgreSQL, or the network, has closed."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


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
