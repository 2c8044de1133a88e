"""``INSERT … ON CONFLICT``, which SQLAlchemy spells once for each database."""

from __future__ import annotations

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

# Both have the same methods and render the same words; only the name in front of the type differs.
Insert = postgresql.Insert


def insert_into(table: Table, dialect: str) -> Insert:
    """Return an insert that knows ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    if dialect == "sqlite":
        return sqlite.insert(table)  # type: ignore[return-value]
    return postgresql.insert(table)


def insert_by(table: Table, connection: Connection) -> Insert:
    """Return the same for the database that a connection leads to."""
    return insert_into(table, connection.dialect.name)
