from __future__ import annotations

import pytest

from tempogram.storage.audit import VALUE_BYTES_MAX, Change, SqlAudit
from tempogram.storage.database.database import Database
from tempogram.storage.retention import Retention, RetentionPeriods
from tests.fakes import Clock
from tests.storage.backends import OnPostgres, OnSqlite

DAY_MS = 86_400_000


def change(who: str = "admin", target: str = "name=twilio", **after: object) -> Change:
    action = "PATCH /services/{name}"
    return Change(who=who, role="admin", address="10.0.0.7", action=action, target=target, after=after)


class AuditContract:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def audit(self, database: Database, clock: Clock) -> SqlAudit:
        return SqlAudit(database, clock=clock)

    async def test_changes_are_listed_newest_first_page_by_page(self, audit: SqlAudit, clock: Clock) -> None:
        for number in range(5):
            await audit.add(change(retries=number))
            clock.advance(1)

        first = await audit.page(before_id=None, limit=3)
        rest = await audit.page(before_id=first[-1].id, limit=3)

        assert [each.after["retries"] for each in (*first, *rest)] == [4, 3, 2, 1, 0]
        assert first[0].at_ms == clock() - 1
        assert (first[0].who, first[0].address, first[0].action) == ("admin", "10.0.0.7", "PATCH /services/{name}")

    async def test_changes_are_found_by_their_maker_and_by_what_was_changed(self, audit: SqlAudit) -> None:
        await audit.add(change("user:anna", "bot_id=7"))
        await audit.add(change("user:boris", "bot_id=7"))
        await audit.add(change("user:anna", "bot_id=8"))

        of_anna = await audit.page(before_id=None, limit=9, who="user:anna")
        of_seven = await audit.page(before_id=None, limit=9, target="bot_id=7")

        assert [each.target for each in of_anna] == ["bot_id=8", "bot_id=7"]
        assert [each.who for each in of_seven] == ["user:boris", "user:anna"]

    async def test_what_is_too_large_is_replaced_by_its_size(self, audit: SqlAudit) -> None:
        await audit.add(change(ids=["a" * 26] * 1_000))

        (stored,) = await audit.page(before_id=None, limit=1)

        assert list(stored.after) == ["bytes"]
        assert stored.after["bytes"] > VALUE_BYTES_MAX

    async def test_changes_leave_after_the_time_of_the_setting(
        self, database: Database, audit: SqlAudit, clock: Clock
    ) -> None:
        await audit.add(change(retries=1))
        clock.advance(2 * DAY_MS)
        await audit.add(change(retries=2))
        keep = RetentionPeriods(messages_ms=None, dead_ms=None, texts_ms=1, audit_ms=DAY_MS)

        removed = await Retention(database, keep=keep, clock=clock).purge()

        assert removed["audit"] == 1
        assert [each.after["retries"] for each in await audit.page(before_id=None, limit=9)] == [2]


class TestAuditOnSqlite(OnSqlite, AuditContract):
    pass


class TestAuditOnPostgres(OnPostgres, AuditContract):
    pass
