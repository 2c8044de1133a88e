"""Notes what is asked of a database, and how the database goes about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event

from tempogram.storage.database.database import Database

EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN "}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement with its values; of ``executemany`` a list of them."""

    text: str
    values: Any
    is_many: bool


@contextmanager
def noted() -> Iterator[list[Statement]]:
    """Give a list to which each statement is added that any connection of this process executes."""
    statements: list[Statement] = []

    def note(_connection: Any, _cursor: Any, text: str, values: Any, _context: Any, is_many: bool) -> None:  # noqa: FBT001 - SQLAlchemy's
        statements.append(Statement(text, values, is_many))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def plan_of(database: Database, statement: Statement, *, may_scan: bool = True) -> str:
    """Return how the database would execute a statement; with ``may_scan`` it may read a small table as a whole."""
    values = statement.values[0] if statement.is_many else statement.values
    async with database.reading() as connection:
        if database.dialect == "postgresql" and not may_scan:
            await connection.exec_driver_sql("SET enable_seqscan = off")
        rows = (await connection.exec_driver_sql(EXPLAIN[database.dialect] + statement.text, values)).all()
        if database.dialect == "postgresql":
            await connection.exec_driver_sql("RESET enable_seqscan")
    return "\n".join(str(row[-1]) for row in rows)
