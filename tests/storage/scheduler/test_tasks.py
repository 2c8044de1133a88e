from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tempogram.engine.ports.task_store import TaskRow
from tempogram.storage.database.database import Database
from tempogram.storage.scheduler import tasks
from tempogram.storage.scheduler.tasks import SqlTaskStore
from tests.engine.scheduler.store_contract import TaskStoreContract, begin, declared, recorded
from tests.fakes import START_MS
from tests.storage.backends import OnPostgres, OnSqlite


class StoredTasksContract(TaskStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> SqlTaskStore:
        return SqlTaskStore(database)

    async def test_all_rows_are_read_page_by_page(self, store: SqlTaskStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tasks, "PAGE", 2)
        await store.declare([TaskRow(name=name) for name in "dbaec"])

        assert [row.name for row in await store.rows()] == ["a", "b", "c", "d", "e"]
        await store.declare([TaskRow(name="f")])
        assert len(await store.rows()) == 6


class TestOnSqlite(OnSqlite, StoredTasksContract):
    pass


class TestOnPostgres(OnPostgres, StoredTasksContract):
    async def test_a_row_in_the_transaction_of_a_stopped_process_keeps_no_other_waiting(
        self, store: SqlTaskStore, url: str
    ) -> None:
        await store.declare([declared("poll")])
        stopped = create_async_engine(url)
        async with stopped.begin() as connection:
            await connection.execute(text("UPDATE tasks SET version = version + 1 WHERE name = 'poll'"))
            async with asyncio.timeout(5):
                assert not await store.step(begin("poll", START_MS + 60_000, "first"))
        assert await store.step(begin("poll", START_MS + 60_000, "first"))
        await stopped.dispose()

    async def test_two_processes_that_begin_and_end_the_same_runs_at_once_begin_each_once(
        self, store: SqlTaskStore, url: str
    ) -> None:
        names = [f"poll{number:02}" for number in range(60)]
        await store.declare([declared(name) for name in names])
        begun: list[tuple[str, int]] = []

        async def attempt(process: str, rivals: SqlTaskStore, order: list[str]) -> None:
            async def run(name: str, number: int) -> None:
                run_id = f"{process}-{number}"
                if await rivals.step(begin(name, START_MS + 60_000 * number, run_id, process)):
                    begun.append((name, number))
                    assert await rivals.step(recorded(name, number, run_id))

            for number in range(1, 11):
                await asyncio.gather(*(run(name, number) for name in order))

        database = await Database.open(url)
        await asyncio.gather(attempt("a", store, names), attempt("b", SqlTaskStore(database), names[::-1]))
        await database.close()

        assert len(begun) == len(set(begun)) > 0
        assert sum(row.runs for row in await store.rows()) == len(begun)
