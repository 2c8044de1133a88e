from __future__ import annotations

import asyncio

from tempogram.storage.database.database import Database
from tempogram.storage.services.declared import StoredServices
from tests.storage.backends import OnPostgres, OnSqlite


class StoredServicesContract:
    async def test_changes_add_up_and_each_raises_the_version(self, database: Database) -> None:
        stored = StoredServices(database)

        versions = [
            await stored.change("twilio", {"concurrency": 15}),
            await stored.change("twilio", {"operations": {"voice": {"count": 2}}}),
        ]

        assert versions == [2, 3]
        assert await stored.changes() == {"twilio": (3, {"concurrency": 15, "operations": {"voice": {"count": 2}}})}

    async def test_of_two_concurrent_changes_none_is_lost(self, database: Database) -> None:
        stored = StoredServices(database)

        await asyncio.gather(
            *(stored.change("twilio", {name: 1}) for name in ("retries", "concurrency", "waiting_max"))
        )

        assert (await stored.changes())["twilio"] == (4, {"retries": 1, "concurrency": 1, "waiting_max": 1})

    async def test_a_service_that_is_reset_is_as_it_was_declared(self, database: Database) -> None:
        stored = StoredServices(database)
        await stored.change("twilio", {"concurrency": 15})

        await stored.reset("twilio")

        assert await stored.changes() == {}


class TestOnSqlite(OnSqlite, StoredServicesContract):
    pass


class TestOnPostgres(OnPostgres, StoredServicesContract):
    pass
