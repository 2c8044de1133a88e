from __future__ import annotations

import socket
import ssl

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tempogram.engine.model.errors import LedgerAway
from tempogram.storage.database.driver_errors import as_ledger_error, is_away, is_unavailable


@pytest.mark.parametrize(
    ("error", "is_away"),
    [
        (PoolTimeoutError("all connections are in use"), True),
        (OperationalError("", {}, Exception("cannot connect")), True),
        (ConnectionResetError(), True),
        (IntegrityError("", {}, Exception("not null")), False),
    ],
)
def test_an_error_of_every_entry_means_an_unavailable_database(error: Exception, is_away: bool) -> None:  # noqa: FBT001
    """If it is, a group of writes is not tried one by one: each would wait as long again."""
    assert is_unavailable(error) is is_away


def raised_by_a_statement(error: Exception, *, invalidated: bool = False) -> DBAPIError:
    """Return what the driver's error looks like to us: wrapped twice."""
    adapted = Exception(str(error))
    adapted.__cause__ = error
    return DBAPIError("SELECT 1", {}, adapted, connection_invalidated=invalidated)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "Connection refused"),
        OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect call failed"),
        TimeoutError(),
        socket.gaierror(-2, "Name or service not known"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.AdminShutdownError("terminating connection due to administrator command"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        raised_by_a_statement(asyncpg.CrashShutdownError("terminating connection because of crash")),
        raised_by_a_statement(Exception("connection is closed"), invalidated=True),
        PoolTimeoutError("all connections are in use"),
    ],
    ids=lambda error: str(error)[:40],
)
def test_a_database_that_will_be_back_by_itself_is_away(error: Exception) -> None:
    assert is_away(error)
    assert isinstance(as_ledger_error(error), LedgerAway)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InvalidPasswordError("password authentication failed"),
        asyncpg.InvalidAuthorizationSpecificationError("role does not exist"),
        asyncpg.InvalidCatalogNameError("database does not exist"),
        ssl.SSLCertVerificationError("certificate verify failed"),
        PermissionError(13, "Permission denied"),
        OperationalError("", {}, Exception("unable to open database file")),
        raised_by_a_statement(asyncpg.InsufficientPrivilegeError("permission denied for schema public")),
    ],
    ids=lambda error: str(error)[:40],
)
def test_what_must_be_corrected_is_not_waited_for(error: Exception) -> None:
    assert not is_away(error)
    assert not isinstance(as_ledger_error(error), LedgerAway)
