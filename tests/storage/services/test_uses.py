from __future__ import annotations

from tempogram.storage.database.database import Database
from tempogram.storage.services.uses import SqlCallUses
from tests.fakes import START_MS
from tests.storage.backends import OnPostgres, OnSqlite


class CallUsesContract:
    async def test_the_uses_of_a_limiter_are_known_after_a_restart(self, database: Database) -> None:
        await SqlCallUses(database).add([("x:mentions", START_MS, 3), ("x:tweets", START_MS, 9)])
        await SqlCallUses(database).add([("x:mentions", START_MS + 5, 1), ("x:mentions", START_MS, 2)])

        assert await SqlCallUses(database).since("x:mentions", START_MS) == [(START_MS, 5), (START_MS + 5, 1)]

    async def test_uses_from_before_the_window_are_not_read(self, database: Database) -> None:
        uses = SqlCallUses(database)
        await uses.add([("x:mentions", START_MS, 3), ("x:mentions", START_MS + 5, 1)])

        assert await uses.since("x:mentions", START_MS + 1) == [(START_MS + 5, 1)]


class TestOnSqlite(OnSqlite, CallUsesContract):
    pass


class TestOnPostgres(OnPostgres, CallUsesContract):
    pass
