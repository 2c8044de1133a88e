from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.database import Database
from tempogram.storage.limits import StoredLimits
from tests.storage.backends import OnPostgres, OnSqlite

GIVEN = Limits(bot=Limit(25, 1_000), chat_cap=7)


class LimitsContract:
    @pytest.fixture
    def kept(self, database: Database) -> StoredLimits:
        return StoredLimits(database, GIVEN)

    async def test_limits_without_a_change_are_the_environments(self, kept: StoredLimits) -> None:
        assert await kept.current() == GIVEN

    async def test_changed_limits_take_precedence_over_the_next_starts_environment(
        self, kept: StoredLimits, database: Database
    ) -> None:
        await kept.change({"bot": {"count": 20}})
        changed = await kept.change({"bot": {"window_ms": 2_000}, "bot_cap": 5})

        later = await StoredLimits(database, replace(GIVEN, chat_cap=8)).current()

        assert changed == replace(GIVEN, version=3, bot=Limit(20, 2_000), bot_cap=5)
        assert later == replace(changed, chat_cap=8)

    async def test_a_burst_is_kept_and_taken_away_again(self, kept: StoredLimits) -> None:
        with_burst = await kept.change({"bot": {"burst": 5}})
        without = await kept.change({"bot": {"burst": None}})

        assert with_burst.bot == Limit(25, 1_000, burst=5)
        assert await kept.current() == without == replace(GIVEN, version=3)

    async def test_reset_limits_are_the_environments_with_a_higher_version(self, kept: StoredLimits) -> None:
        await kept.change({"chat_cap": 9})

        reset = await kept.reset()

        assert reset == await kept.current() == replace(GIVEN, version=3)

    async def test_limits_that_make_no_sense_are_refused_as_such_and_not_stored(self, kept: StoredLimits) -> None:
        with pytest.raises(SettingsError, match="a limit of -1 is below 0"):
            await kept.change({"bot": {"count": -1}})

        assert await kept.current() == GIVEN

    async def test_concurrent_changes_of_limits_are_all_stored(
        self, kept: StoredLimits, database: Database, url: str
    ) -> None:
        other = await Database.open(url)
        elsewhere = StoredLimits(other, GIVEN)

        changed = await asyncio.gather(
            *(kept.change({"bot": {"count": 10 + number}}) for number in range(5)),
            *(elsewhere.change({"chat_cap": number}) for number in range(5)),
        )
        now = await kept.current()
        await other.close()

        assert sorted(each.version for each in changed) == list(range(2, 12))
        assert now == max(changed, key=lambda each: each.version)
        assert (now.bot.count != GIVEN.bot.count, now.chat_cap != GIVEN.chat_cap) == (True, True)


class TestLimitsOnSqlite(OnSqlite, LimitsContract):
    pass


class TestLimitsOnPostgres(OnPostgres, LimitsContract):
    pass
