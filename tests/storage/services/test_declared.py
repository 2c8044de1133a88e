from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.ports.stored_services import StoredService
from tempogram.storage.database.database import Database
from tempogram.storage.services.declared import SqlServices
from tests.storage.backends import OnPostgres, OnSqlite


def anything(_: Mapping[str, object]) -> None:
    """Is a check that refuses nothing."""


def nothing(both: Mapping[str, object]) -> None:
    raise SettingsError(f"{dict(both)} makes no sense")


class StoredServicesContract:
    async def test_changes_add_up_and_each_raises_the_version(self, database: Database) -> None:
        stored = SqlServices(database)

        changed = [
            await stored.change("twilio", {"concurrency": 15}, anything),
            await stored.change("twilio", {"operations": {"voice": {"count": 2}}}, anything),
        ]

        assert [each.version for each in changed] == [2, 3]
        assert (await stored.all())["twilio"].changes == {"concurrency": 15, "operations": {"voice": {"count": 2}}}

    async def test_changes_that_make_no_sense_with_those_of_before_are_not_stored(self, database: Database) -> None:
        stored = SqlServices(database)
        before = await stored.change("twilio", {"concurrency": 15}, anything)

        with pytest.raises(SettingsError, match=r"'retries': 1\} makes no sense"):
            await stored.change("twilio", {"retries": 1}, nothing)

        assert await stored.all() == {"twilio": before}

    async def test_of_two_concurrent_changes_none_is_lost(self, database: Database) -> None:
        stored = SqlServices(database)

        await asyncio.gather(
            *(stored.change("twilio", {name: 1}, anything) for name in ("retries", "concurrency", "waiting_max"))
        )

        changes = {"retries": 1, "concurrency": 1, "waiting_max": 1}
        assert await stored.all() == {"twilio": StoredService(4, changes, "")}

    async def test_a_service_that_is_reset_is_newer_than_its_changes(self, database: Database) -> None:
        stored = SqlServices(database)
        await stored.change("twilio", {"concurrency": 15}, anything)

        assert await stored.reset("twilio") == StoredService(3, {}, "")

    async def test_another_declaration_raises_the_version_once_and_keeps_the_changes(self, database: Database) -> None:
        stored = SqlServices(database)
        await stored.declare({"twilio": "first", "x": "first"})
        before = await stored.change("twilio", {"concurrency": 15}, anything)

        await stored.declare({"twilio": "first", "x": "first"})
        unchanged = await stored.all()
        await asyncio.gather(*(stored.declare({"twilio": "second", "x": "first"}) for _ in range(3)))

        assert unchanged["twilio"] == before
        assert await stored.all() == unchanged | {"twilio": StoredService(before.version + 1, before.changes, "second")}


class TestOnSqlite(OnSqlite, StoredServicesContract):
    pass


class TestOnPostgres(OnPostgres, StoredServicesContract):
    pass
