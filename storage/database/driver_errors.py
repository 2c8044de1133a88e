"""Turns the drivers' errors into ``LedgerError``; other packages never see a driver's."""

from __future__ import annotations

import ssl

import asyncpg
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tempogram.engine.model.errors import LedgerAway, LedgerError

DRIVER_ERRORS = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
"""What an unavailable or refusing database raises; asyncpg's own errors come only while connecting."""


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
    words = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    reason = words.partition("\n")[0] or type(error).__name__
    if is_away(error):
        ledger_error: LedgerError = LedgerAway(f"the database cannot be reached: {reason}")
    else:
        ledger_error = LedgerError(f"the database refused: {reason}")
    ledger_error.__cause__ = error
    return ledger_error
