from __future__ import annotations

import pytest

from tempogram.storage.database.database import Database
from tempogram.storage.scheduler.tasks import SqlTaskStore
from tests.engine.scheduler.store_contract import TaskStoreContract
from tests.storage.backends import OnPostgres, OnSqlite


class StoredTasksContract(TaskStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> SqlTaskStore:
        return SqlTaskStore(database)


class TestOnSqlite(OnSqlite, StoredTasksContract):
    pass


class TestOnPostgres(OnPostgres, StoredTasksContract):
    pass
