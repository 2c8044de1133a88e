"""What SQLite and PostgreSQL spell differently: ``INSERT … ON CONFLICT``, and the database's own time."""

from __future__ import annotations

import time

from sqlalchemy import BigInteger, ColumnElement, Connection, Table, cast, func, literal, literal_column
from sqlalchemy.dialects import postgresql, sqlite

POSTGRES_NOW_MS: ColumnElement[int] = literal_column(
    "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)", BigInteger
)
"""Without a placeholder, so that it can stand in a statement of many rows."""

# Both have the same methods and render the same words; only the type's module differs.
Insert = postgresql.Insert


def insert_into(table: Table, dialect: str) -> Insert:
    """Return an insert that knows ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    if dialect == "sqlite":
        return sqlite.insert(table)  # type: ignore[return-value]
    return postgresql.insert(table)


def insert_by(table: Table, connection: Connection) -> Insert:
    """Return the same in the dialect of a connection."""
    return insert_into(table, connection.dialect.name)


def database_now_ms(connection: Connection) -> ColumnElement[int]:
    """Return the time in milliseconds, as part of a statement.

    It is the one clock that all processes on the same database share; SQLite has the clock of its machine.
    """
    if connection.dialect.name == "sqlite":
        return literal(time.time_ns() // 1_000_000)
    return POSTGRES_NOW_MS


def statement_now_ms(dialect: str) -> ColumnElement[int]:
    """Return the same for a condition that an index serves: when the statement began."""
    if dialect == "sqlite":
        return literal(time.time_ns() // 1_000_000)
    return cast(func.extract("epoch", func.statement_timestamp()) * 1_000, BigInteger)
