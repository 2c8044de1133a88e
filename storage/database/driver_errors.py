"""Turns the drivers' errors into ``LedgerError``; other packages never see a driver's.

Sources: https://www.postgresql.org/docs/current/errcodes-appendix.html (class 22: data exception, 54: program limit
exceeded) and https://docs.python.org/3/library/sqlite3.html (a number of more than 64 bits is an ``OverflowError``)
"""

from __future__ import annotations

import ssl

import asyncpg
from sqlalchemy.exc import DataError, DBAPIError, OperationalError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tempogram.engine.model.errors import LedgerAway, LedgerError, UnstorableValue

OF_A_VALUE = (OverflowError, UnicodeEncodeError)
"""What SQLite's driver raises itself for a value that it cannot hand over."""

DRIVER_ERRORS = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, *OF_A_VALUE)
"""What an unavailable or refusing database raises; asyncpg's own errors come only while connecting."""

DATA_EXCEPTION, LIMIT_EXCEEDED = "22", "54"
NOT_IN_REPERTOIRE = "22021"
"""A NUL in a text."""


TAKES_NO_CONNECTIONS = (
    asyncpg.TooManyConnectionsError,
    asyncpg.CannotConnectNowError,  # it starts, or ends
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.PostgresConnectionError,
)

STAYS_SO = (PermissionError, ssl.SSLCertVerificationError)
"""What is an ``OSError``, too, and must be corrected."""


def is_away(error: BaseException) -> bool:
    """Tell whether the database cannot be reached just now; False if something must be corrected, like a password.

    A host name that is not known is away: its server may not have been started yet.
    """
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error.orig and error.orig.__cause__, TAKES_NO_CONNECTIONS)
    if isinstance(error, OSError):
        return not isinstance(error, STAYS_SO)
    return isinstance(error, (PoolTimeoutError, *TAKES_NO_CONNECTIONS))


def is_unavailable(error: BaseException) -> bool:
    """Tell whether the database is unavailable, so that trying each entry by itself would be useless."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(
        error, PoolTimeoutError | OperationalError | OSError | asyncpg.PostgresError | asyncpg.InterfaceError
    )


def as_ledger_error(error: BaseException) -> LedgerError:
    """Return the error for callers: the driver's first line, without the statement and its values."""
    ledger_error = _of_a_value(error) or _refused(error)
    ledger_error.__cause__ = error
    return ledger_error


def _refused(error: BaseException) -> LedgerError:
    words = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    reason = words.partition("\n")[0] or type(error).__name__
    if is_away(error):
        return LedgerAway(f"the database cannot be reached: {reason}")
    return LedgerError(f"the database refused: {reason}")


def _of_a_value(error: BaseException) -> UnstorableValue | None:
    """Return the error if a value is at fault, and not the database. The driver's words would quote the value."""
    what = _flaw(error)
    return None if what is None else UnstorableValue(f"the database takes no such value: {what}")


def _flaw(error: BaseException) -> str | None:
    if isinstance(error, OverflowError):
        return "a number is beyond its range"
    if isinstance(error, UnicodeEncodeError):
        return "a text has half of a character"
    if not isinstance(error, DBAPIError):
        return "its type is none of a column's" if isinstance(error, StatementError) else None
    code = str(getattr(getattr(error.orig, "__cause__", None), "sqlstate", ""))
    if code.startswith(LIMIT_EXCEEDED) or isinstance(error, DataError):
        return "it is too large"
    return _flaw_of_data(code, str(error.orig)) if code.startswith(DATA_EXCEPTION) else None


def _flaw_of_data(code: str, words: str) -> str:
    if "value out of" in words:
        return "a number is beyond its range"
    if code == NOT_IN_REPERTOIRE or "codec can't encode" in words:
        return "a text has a NUL, or half of a character"
    return "its form is none of its column's"
