from __future__ import annotations

import pytest

from tempogram.engine.ports.task_store import TaskRow
from tempogram.storage.database.database import Database
from tempogram.storage.scheduler import tasks
from tempogram.storage.scheduler.tasks import SqlTaskStore
from tests.engine.scheduler.store_contract import TaskStoreContract
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
    pass
