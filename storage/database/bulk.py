"""A statement for any number of rows, compiled once per size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

from sqlalchemy import CTE, BindParameter, Column, Connection, CursorResult, Dialect, Row, bindparam, column, values
from sqlalchemy.sql import ClauseElement

Binds = list[list[BindParameter[Any]]]
"""A placeholder for each column of each row."""

ROWS_MAX = 128
"""More saves nothing measurable, and SQLite and PostgreSQL accept at most 32,000 values in one statement."""


class BulkStatement:
    """A statement with a block of rows in it, for any number of rows.

    It is compiled for 1, 2, 4 … 128 rows, and a batch is cut into such pieces: 50 rows
    are 32 + 16 + 2. So the database prepares each statement once, and a batch costs a few
    calls of the driver. (``executemany`` on SQLite releases the GIL for every row, and
    waits up to 5 ms to get it back from a busy event loop.)

    Args:
        columns: The columns of a row, in order.
        build: Makes the statement around the placeholders; each must occur once.
    """

    def __init__(self, columns: Sequence[Column[Any]], build: Callable[[str, Binds], ClauseElement]) -> None:
        self._columns = columns
        self._build = build
        self._compiled: dict[tuple[str, int], str] = {}

    def run(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> list[Row[Any]]:
        """Execute over all rows and return what ``RETURNING`` gave, in no particular order."""
        returned: list[Row[Any]] = []
        for result in self._results(connection, rows):
            if result.returns_rows:
                returned += result.all()
        return returned

    def count(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Execute over all rows and return how many were inserted or changed.

        Each returned row is a step of the driver that releases the GIL: count where that is enough.
        """
        return sum(result.rowcount for result in self._results(connection, rows))

    def _results(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> Iterator[CursorResult[Any]]:
        for piece in pieces(rows):
            yield connection.exec_driver_sql(
                self._text(connection.dialect, len(piece)), tuple(chain.from_iterable(piece))
            )

    def _text(self, dialect: Dialect, count: int) -> str:
        key = dialect.name, count
        if key not in self._compiled:
            self._compiled[key] = self._compile(dialect, count)
        return self._compiled[key]

    def _compile(self, dialect: Dialect, count: int) -> str:
        names = [[f"row{row}_{column.name}" for column in self._columns] for row in range(count)]
        binds: Binds = [
            [bindparam(name, type_=column.type) for name, column in zip(row, self._columns, strict=True)]
            for row in names
        ]
        compiled = self._build(dialect.name, binds).compile(dialect=dialect)
        assert compiled.positiontup == list(chain.from_iterable(names)), "the values would land in other columns"  # type: ignore[attr-defined]  # noqa: S101
        return str(compiled)


def as_dicts(columns: Sequence[Column[Any]], rows: Binds) -> list[dict[str, Any]]:
    """Return the rows as ``Insert.values`` takes them."""
    names = [each.name for each in columns]
    return [dict(zip(names, row, strict=True)) for row in rows]


def as_table(name: str, columns: Sequence[Column[Any]], rows: Binds) -> CTE:
    """Return the rows as a table of this name, for an update that reads each row's values from it."""
    typed = (column(each.name, each.type) for each in columns)
    return values(*typed, name=name).data([tuple(row) for row in rows]).cte(name)


def pieces(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Cut rows into runs whose lengths are powers of two.

    >>> [len(piece) for piece in pieces([()] * 300)]
    [128, 128, 32, 8, 4]
    """
    start = 0
    while left := len(rows) - start:
        size = min(ROWS_MAX, 1 << (left.bit_length() - 1))
        yield rows[start : start + size]
        start += size
