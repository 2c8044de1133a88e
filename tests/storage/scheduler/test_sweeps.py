from __future__ import annotations

from dataclasses import replace

from tempogram.engine.bulk.journal import Mark
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

    async def test_a_bulk_is_of_the_call_that_took_it_last(self, database: Database) -> None:
        store = SqlSweeps(database)

        first = await store.take("campaign-7", "first", START_MS)
        assert await store.note_bulk(replace(first, done=3, under_way=(1, 3), items_crc=0xFFFFFFFF), ())
        second = await store.take("campaign-7", "second", START_MS + 1)

        assert not await store.note_bulk(replace(first, done=4, under_way=(3,)), [Mark(index=1, error="late")])
        assert second == replace(first, done=3, under_way=(1, 3), items_crc=0xFFFFFFFF, run="second")
        assert await store.sweep("campaign-7") == second
        assert await store.marks("campaign-7", since=0, limit=9) == []

    async def test_the_row_of_a_sweep_is_not_taken(self, database: Database) -> None:
        store = SqlSweeps(database)
        sweep = SweepRow(name="round-7", done=50, last="tweet049", began_ms=START_MS)
        await store.note(sweep)

        assert await store.take("round-7", "first", START_MS) == sweep

    async def test_marks_are_read_in_order_and_page_by_page(self, database: Database) -> None:
        store, marks = (
            SqlSweeps(database),
            [
                Mark(index=7, error="ValueError()"),
                Mark(index=2, was_under_way=True),
                Mark(index=9, error="x"),
            ],
        )
        row = await store.take("campaign-7", "first", START_MS)
        await store.note_bulk(row, marks[:2])
        await store.note_bulk(row, marks)  # a note that was tried again

        assert await store.marks("campaign-7", since=0, limit=2) == [marks[1], marks[0]]
        assert await store.marks("campaign-7", since=8, limit=2) == [marks[2]]
        assert await store.marks("campaign-8", since=0, limit=2) == []

    async def test_an_item_that_is_done_again_and_fails_has_both_in_its_mark(self, database: Database) -> None:
        store = SqlSweeps(database)
        row = await store.take("campaign-7", "first", START_MS)

        await store.note_bulk(row, [Mark(index=7, was_under_way=True)])
        await store.note_bulk(row, [Mark(index=7, was_under_way=True, error="x")])

        assert await store.marks("campaign-7", since=0, limit=2) == [Mark(index=7, was_under_way=True, error="x")]

    async def test_marks_are_deleted_with_their_bulk(self, database: Database) -> None:
        store = SqlSweeps(database)
        old = await store.take("campaign-1", "first", 1)
        await store.note_bulk(replace(old, ended_ms=2), [Mark(index=0, error="x")])

        await store.note(SweepRow(name="round-3", done=1, began_ms=1, ended_ms=KEPT_MS + 3))

        assert await store.sweep("campaign-1") is None
        assert await store.marks("campaign-1", since=0, limit=9) == []


class TestOnSqlite(OnSqlite, SweepsContract):
    pass


class TestOnPostgres(OnPostgres, SweepsContract):
    pass
