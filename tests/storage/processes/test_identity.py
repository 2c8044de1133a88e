"""The id of a ledger is made once, and is another one in each database."""

from __future__ import annotations

import asyncio

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.database import Database
from tempogram.storage.keys import Seal
from tempogram.storage.processes.identity import check_key, ledger_id
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

    async def test_of_processes_that_start_at_once_those_with_another_secret_key_are_refused(self, url: str) -> None:
        async def start(key: str) -> str:
            database = await Database.open(url)
            try:
                await check_key(database, Seal(key))
            except SettingsError as error:
                return str(error)
            finally:
                await database.close()
            return "runs"

        same, other = "one key of all processes", "another key of one process"
        first = await start(same)
        said = await asyncio.gather(*(start(key) for key in (same, other, same)))

        assert [first, said[0], said[2]] == ["runs"] * 3
        assert said[1].startswith("SECRET_KEY is not the one of the other processes of this database")
        assert other not in said[1]


class TestIdentityOnSqlite(IdentityContract, OnSqlite):
    pass


class TestIdentityOnPostgres(IdentityContract, OnPostgres):
    pass
