"""The id of a ledger is made once, and is another one in each database."""

from __future__ import annotations

import asyncio

from tempogram.storage.database.database import Database
from tempogram.storage.processes.identity import ledger_id
from tests.storage.backends import OnPostgres, OnSqlite


class IdentityContract:
    async def test_processes_that_start_at_once_read_the_same_id(self, url: str) -> None:
        async def start() -> str:
            database = await Database.open(url)
            try:
                return await ledger_id(database)
            finally:
                await database.close()

        ids = set(await asyncio.gather(*(start() for _ in range(3))))
        ids.add(await start())

        assert len(ids) == 1
        assert len(ids.pop()) == 16


class TestIdentityOnSqlite(IdentityContract, OnSqlite):
    pass


class TestIdentityOnPostgres(IdentityContract, OnPostgres):
    pass
