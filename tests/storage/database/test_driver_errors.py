from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from collections.abc import Sequence
from typing import Any, ClassVar

import asyncpg
import pytest
from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tempogram.engine.model.errors import LedgerAway, UnstorableValue
from tempogram.storage.database.database import Database
from tempogram.storage.database.driver_errors import as_ledger_error, is_away, is_unavailable
from tempogram.storage.database.models import chats
from tests.storage.backends import OnPostgres, OnSqlite


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


def _insert(connection: Connection, rows: Sequence[dict[str, Any]]) -> list[None]:
    for row in rows:
        connection.execute(insert(chats).values(bot_id=1, **row))
    return [None] * len(rows)


class UnstorableContract:
    """What a database does not take is the value's fault: nothing is away, and no other write is concerned."""

    TOO_MUCH: ClassVar[dict[str, dict[str, Any]]] = {
        "a number is beyond its range": {"chat_id": "a", "last_message_in_at_ms": 1 << 63},
        "a text has": {"chat_id": "a\ud83d"},
    }

    @pytest.mark.parametrize("why", TOO_MUCH)
    async def test_a_value_that_is_not_taken_refuses_its_own_write_only(self, database: Database, why: str) -> None:
        answers = await asyncio.gather(
            *(database.write(_insert, [row]) for row in ({"chat_id": "b"}, self.TOO_MUCH[why], {"chat_id": "c"})),
            return_exceptions=True,
        )

        assert [type(answer) for answer in answers] == [list, UnstorableValue, list]
        assert why in str(answers[1])
        assert "\\ud83d" not in str(answers[1])

    @pytest.mark.parametrize("why", TOO_MUCH)
    async def test_a_value_that_is_not_taken_is_no_outage_when_it_is_looked_for(
        self, database: Database, why: str
    ) -> None:
        matches = [chats.c[name] == value for name, value in self.TOO_MUCH[why].items()]

        with pytest.raises(UnstorableValue, match=why):
            async with database.reading() as connection:
                await connection.execute(select(chats).where(*matches))
        async with database.reading() as connection:
            assert (await connection.execute(select(chats))).all() == []


class TestUnstorableOnSqlite(OnSqlite, UnstorableContract):
    pass


class TestUnstorableOnPostgres(OnPostgres, UnstorableContract):
    async def test_a_text_with_a_nul_is_the_values_fault(self, database: Database) -> None:
        with pytest.raises(UnstorableValue, match="a text has a NUL"):
            await database.write(_insert, [{"chat_id": "a\0"}])

    async def test_a_key_larger_than_an_index_takes_is_the_values_fault(self, database: Database) -> None:
        with pytest.raises(UnstorableValue, match="it is too large"):
            await database.write(_insert, [{"chat_id": secrets.token_hex(9_000)}])


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
