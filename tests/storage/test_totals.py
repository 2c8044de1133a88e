from __future__ import annotations

import asyncio

import pytest

from tempogram.storage.database.database import Database
from tempogram.storage.totals import SqlTotals
from tests.storage.backends import OnPostgres, OnSqlite


class TotalsContract:
    @pytest.fixture
    def totals(self, database: Database) -> SqlTotals:
        return SqlTotals(database)

    async def test_what_is_added_is_summed_by_name(self, totals: SqlTotals) -> None:
        await totals.add({"a": 1, "b": 2})
        await totals.add({"a": 3})
        await totals.add({})

        assert await totals.read() == {"a": 4, "b": 2}

    async def test_processes_that_add_at_the_same_time_lose_nothing(
        self, totals: SqlTotals, database: Database
    ) -> None:
        other = SqlTotals(database)

        await asyncio.gather(*(each.add({"a": 1, "b": 1}) for _ in range(20) for each in (totals, other)))

        assert await other.read() == {"a": 40, "b": 40}


class TestTotalsOnSqlite(OnSqlite, TotalsContract):
    pass


class TestTotalsOnPostgres(OnPostgres, TotalsContract):
    pass
