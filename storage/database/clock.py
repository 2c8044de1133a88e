"""What time it is for the database: the one clock that all processes on the same books share."""

from __future__ import annotations

import time

from sqlalchemy import BigInteger, ColumnElement, Connection, cast, func, literal


def now_ms(connection: Connection) -> ColumnElement[int]:
    """Return the time in milliseconds, as a part of a statement; SQLite has the clock of its machine."""
    if connection.dialect.name == "sqlite":
        return literal(time.time_ns() // 1_000_000)
    return cast(func.extract("epoch", func.clock_timestamp()) * 1_000, BigInteger)
