from __future__ import annotations

from dataclasses import replace

from tempogram.engine.scheduler.sweep import SweepRow
from tempogram.storage.database.database import Database
from tempogram.storage.scheduler.sweeps import KEPT_MS, SqlSweeps
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

    async def test_the_end_of_a_sweep_deletes_those_that_ended_long_ago(self, database: Database) -> None:
        store = SqlSweeps(database)
        old = SweepRow(name="round-1", done=50, began_ms=1, ended_ms=2)
        for row in (old, replace(old, name="unfinished", ended_ms=0), replace(old, name="round-2", ended_ms=3)):
            await store.note(row)

        await store.note(replace(old, name="round-3", ended_ms=KEPT_MS + 3))

        kept = [name for name in ("round-1", "unfinished", "round-2", "round-3") if await store.sweep(name)]
        assert kept == ["unfinished", "round-2", "round-3"]


class TestOnSqlite(OnSqlite, SweepsContract):
    pass


class TestOnPostgres(OnPostgres, SweepsContract):
    pass
