"""Turns the drivers' errors into ``LedgerError``; other packages never see a driver's."""

from __future__ import annotations

import asyncpg
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tempogram.engine.model.errors import LedgerError

DRIVER_ERRORS = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
"""What an unavailable or refusing database raises; asyncpg's own errors come only while connecting."""


def is_unavailable(error: BaseException) -> bool:
    """Tell whether the database is unavailable, so that trying each entry by itself would be useless."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(
        error, PoolTimeoutError | OperationalError | OSError | asyncpg.PostgresError | asyncpg.InterfaceError
    )


def as_ledger_error(error: BaseException) -> LedgerError:
    """Return the error for callers: the driver's first line, without the statement and its values."""
    words = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    ledger_error = LedgerError(f"the database refused: {words.partition(chr(10))[0] or type(error).__name__}")
    ledger_error.__cause__ = error
    return ledger_error
