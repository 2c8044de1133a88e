from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Select, select, text
from sqlalchemy.dialects import sqlite

from tempogram.engine.model.broadcasts import Broadcast
from tempogram.storage.broadcasts import recipients
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import HAS_FAILED, broadcast_recipients
from tests.broadcasts import plan
from tests.storage.backends import OnSqlite

OF = Broadcast(id=1, name="news", plan=plan())

QUERIES = {
    "waiting": recipients.due(OF, 5).limit(200),
    "under_way": recipients.ended(OF).limit(1_000),
    "failed": select(broadcast_recipients.c.chat_id).where(recipients.is_of(OF), HAS_FAILED).limit(1_000),
}


class TestRecipientsOnSqlite(OnSqlite):
    @pytest.mark.parametrize("name", QUERIES)
    async def test_a_step_never_reads_all_recipients(self, database: Database, name: str) -> None:
        assert f"INDEX broadcast_recipients_{name} " in (await plan_of(database, QUERIES[name]))[0]

    async def test_those_under_way_are_counted_by_their_index(self, database: Database) -> None:
        counted = recipients.count_under_way([OF.id, OF.id + 1])

        assert "INDEX broadcast_recipients_under_way " in (await plan_of(database, counted))[0]

    async def test_when_the_last_is_due_is_read_by_its_index(self, database: Database) -> None:
        last = recipients.last_due([OF.id, OF.id + 1])

        assert "INDEX broadcast_recipients_waiting " in (await plan_of(database, last))[-1]


async def plan_of(database: Database, query: Select[Any]) -> list[str]:
    words = str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))
    async with database.reading() as connection:
        return [row[3] for row in await connection.execute(text(f"EXPLAIN QUERY PLAN {words}"))]
