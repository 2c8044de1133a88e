from __future__ import annotations

from dataclasses import replace

from tempogram.engine.scheduler.sweep import SweepRow
from tempogram.storage.database.database import Database
from tempogram.storage.scheduler.sweeps import SqlSweeps
from tests.fakes import START_MS
from tests.storage.backends import OnPostgres, OnSqlite


class SweepsContract:
    async def test_how_far_a_sweep_is_is_known_after_a_restart(self, database: Database) -> None:
        store = SqlSweeps(database)
        row = SweepRow(name="round-7", done=50, last="tweet049", began_ms=START_MS)

        assert await store.sweep("round-7") is None
        await store.note(row)
        await store.note(replace(row, done=100, last="tweet099"))

        assert await SqlSweeps(database).sweep("round-7") == replace(row, done=100, last="tweet099")


class TestOnSqlite(OnSqlite, SweepsContract):
    pass


class TestOnPostgres(OnPostgres, SweepsContract):
    pass
