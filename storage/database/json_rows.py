"""Rows that are handed over as one JSON text, for a statement that reads them as a table.

The statement is the same for any number of rows, so it is compiled and prepared once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import JSON, Column, FromClause, Text, bindparam, cast, func, literal_column, select


def json_rows(dialect: str, name: str, columns: Sequence[Column[Any]]) -> FromClause:
    """Return a table of rows that the parameter of its name holds; see ``as_json``."""
    if dialect == "sqlite":
        return _of_sqlite(name, columns)
    rows = func.json_to_recordset(cast(bindparam(name, type_=Text), JSON))
    return rows.table_valued(*columns, name=name).render_derived(with_types=True)


def as_json(columns: Sequence[Column[Any]], rows: Sequence[Sequence[Any]]) -> str:
    """Return the parameter for these rows."""
    names = [column.name for column in columns]
    return msgspec.json.encode([dict(zip(names, row, strict=True)) for row in rows]).decode()


def _of_sqlite(name: str, columns: Sequence[Column[Any]]) -> FromClause:
    each = func.json_each(bindparam(name, type_=Text)).table_valued("value", name=f"{name}_as_json")
    fields = (
        cast(func.json_extract(each.c.value, literal_column(f"'$.{column.name}'")), column.type).label(column.name)
        for column in columns
    )
    # Cast, because a column that has no type is not indexed for a join with one that has.
    # Materialized, so that the rows are read once; otherwise each row of another table reads the whole JSON again.
    return select(*fields).cte(name).prefix_with("MATERIALIZED")
