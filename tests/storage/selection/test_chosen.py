"""How the query of a campaign goes through the chats of a bot."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from tempogram.engine.model.selection import Rules, Selection
from tempogram.storage.database.database import Database
from tempogram.storage.selection.audience import SqlAudience
from tests.storage.backends import BOT, NOW_MS, OnPostgres, OnSqlite
from tests.storage.statements import noted, plan_of

ZONES = "Europe/Berlin", "Europe/Paris", "America/New_York", "Asia/Tokyo", "Asia/Kolkata"

MAKE = """
    INSERT INTO chats (bot_id, chat_id, reachable, type, time_zone, last_message_in_at_ms)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
    SELECT {bot}, CAST(i AS TEXT), TRUE, 'private',
        CASE i % 5 WHEN 0 THEN '{0}' WHEN 1 THEN '{1}' WHEN 2 THEN '{2}' WHEN 3 THEN '{3}' ELSE '{4}' END,
        {now} - CAST(i AS BIGINT) * 100000 FROM n
"""


class ChosenContract:
    @pytest.fixture
    async def database(self, url: str) -> AsyncIterator[Database]:
        database = await Database.open(url)
        made = MAKE.format(*ZONES, bot=BOT, now=NOW_MS)
        await database.write_alone(lambda connection: connection.execute(text(made)) and None)
        await database.write_alone(lambda connection: connection.execute(text("ANALYZE")) and None)
        yield database
        await database.close()

    async def test_whom_a_campaign_writes_to_is_looked_up_zone_by_zone_and_day(self, database: Database) -> None:
        with noted() as statements:
            chosen = await SqlAudience(database).page(
                Selection(bot_id=BOT, wrote_days_ago=7), Rules(campaign="weekly"), now_ms=NOW_MS
            )
        plans = [
            await plan_of(database, each)
            for each in statements
            if "FROM chats" in each.text or " JOIN chats" in each.text
        ]

        assert 800 < len(chosen) <= 1_000
        assert any("chats_by_activity" in plan for plan in plans)
        assert not [plan for plan in plans if "Seq Scan on chats" in plan or "SCAN chats\n" in plan]


class TestChosenOnSqlite(OnSqlite, ChosenContract): ...


class TestChosenOnPostgres(OnPostgres, ChosenContract): ...
