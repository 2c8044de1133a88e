"""What SQLite and PostgreSQL spell differently: ``INSERT … ON CONFLICT``, the order of a join, its own time."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Join, Table, cast, func, literal, literal_column
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

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


class JoinInOrder(Join):
    """A join that begins with the left table, and looks up the rows of the right one for each of its rows.

    Without statistics SQLite takes a condition such as ``bot_id = 42`` for one that few rows meet, and would read all
    of them once for each row of the other table. Source: https://www.sqlite.org/lang_select.html#crossjoin
    PostgreSQL takes conditions on expressions for such, and would read the whole right table once. ``OFFSET 0`` keeps
    it from merging the queries. Source: https://www.postgresql.org/docs/current/queries-table-expressions.html
    """

    inherit_cache = True


@compiles(JoinInOrder, "postgresql")
def _look_up(join: JoinInOrder, compiler: SQLCompiler, **options: Any) -> str:
    if not isinstance(join.right, Table) or join.onclause is None:
        rendered: str = compiler.visit_join(join, **options)  # type: ignore[no-untyped-call]
        return rendered
    left = compiler.process(join.left, **options | {"asfrom": True})
    found = f"SELECT * FROM {join.right.name} WHERE {compiler.process(join.onclause, **options)} OFFSET 0"  # noqa: S608 - a table of ours
    return f"{left} CROSS JOIN LATERAL ({found}) AS {join.right.name}"


@compiles(JoinInOrder, "sqlite")
def _cross_join(join: JoinInOrder, compiler: SQLCompiler, **options: Any) -> str:
    rendered: str = compiler.visit_join(join, **options)  # type: ignore[no-untyped-call]
    return rendered.replace(" JOIN ", " CROSS JOIN ", 1)
