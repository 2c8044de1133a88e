from __future__ import annotations

import pytest

from tempogram.engine.ports.alert_store import Mark
from tempogram.storage.alerts.alerts import IDS_MAX, SqlAlertStore
from tempogram.storage.database.database import Database
from tests.engine.alerts.store_contract import AlertStoreContract
from tests.engine.alerts.values import alert, row
from tests.fakes import START_MS
from tests.storage.backends import OnPostgres, OnSqlite


class StoredAlertsContract(AlertStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> SqlAlertStore:
        return SqlAlertStore(database)

    async def test_more_alerts_than_one_statement_names_are_said_and_end_together(self, store: SqlAlertStore) -> None:
        await store.open([alert(f"{number:06}") for number in range(IDS_MAX + 5)])
        opened = await store.unfinished()
        assert await store.say(Mark.SAID, opened, START_MS, [row("1")])
        await store.end([each.id for each in opened], START_MS + 5)

        ended = await store.unfinished()
        assert len(ended) == IDS_MAX + 5
        assert await store.say(Mark.END_SAID, ended, START_MS + 6, [])
        assert await store.unfinished() == []


class TestOnSqlite(OnSqlite, StoredAlertsContract):
    pass


class TestOnPostgres(OnPostgres, StoredAlertsContract):
    pass
