"""The id of a ledger is made once, and is another one in each database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Update, update

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.bots import Bots
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import bots, identity
from tempogram.storage.keys import Seal
from tempogram.storage.processes.identity import check_key, check_no_key, ledger_id
from tests.storage.backends import OnPostgres, OnSqlite


class IdentityContract:
    async def test_processes_that_start_at_once_read_the_same_id(self, url: str) -> None:
        async def start() -> str:
            database = await Database.open(url)
            try:
                return await ledger_id(database)
            finally:
                await database.close()

        ids = set(await asyncio.gather(*(start() for _ in range(3))))
        ids.add(await start())

        assert len(ids) == 1
        assert len(ids.pop()) == 16

    async def test_a_key_that_decrypts_no_token_is_refused_and_the_way_out_named(self, url: str) -> None:
        await with_bots(url, 41, 42)

        said = await started(url, OTHER)

        assert said.startswith(
            "SECRET_KEY is not the one with which the tokens of 2 bots in the database were encrypted; set SECRET_KEY "
            "to the one that was used before"
        )
        assert "tempogram keys enter" in said
        assert OTHER not in said
        assert await started(url, SAME) == "runs"

    async def test_a_key_that_decrypts_one_token_is_right_whatever_became_of_the_rest(self, url: str) -> None:
        await with_bots(url, 41, 42)
        await written(url, update(bots).where(bots.c.bot_id == 41).values(sealed_token=b"garbage"))
        await written(url, update(identity).values(key_check=b"garbage"))

        assert await started(url, SAME) == "runs"
        await written(url, update(bots).values(sealed_token=b"garbage"))
        assert await started(url, SAME) == "runs"

    async def test_a_database_of_an_earlier_version_gets_its_check_only_from_the_right_key(self, url: str) -> None:
        await with_bots(url, 41)
        await written(url, update(identity).values(key_check=None))

        said = [await started(url, key) for key in (OTHER, SAME, OTHER)]

        assert [each.partition(" with")[0] for each in said] == [REFUSED, "runs", REFUSED]

    async def test_no_first_key_is_made_where_the_key_of_the_tokens_is_missing(self, url: str, tmp_path: Path) -> None:
        database = await Database.open(url)
        await check_no_key(database, tmp_path / "secret_key")
        await with_bots(url, 41)

        with pytest.raises(SettingsError, match="secret_key is missing, though the tokens of 1 bot in the database"):
            await check_no_key(database, tmp_path / "secret_key")
        await database.close()


REFUSED = "SECRET_KEY is not the one"
SAME, OTHER = "one key of all processes", "another key of one process"


async def started(url: str, key: str) -> str:
    """Return what a start with a key says, or that it runs."""
    database = await Database.open(url)
    try:
        await check_key(database, Seal(key))
    except SettingsError as error:
        return str(error)
    finally:
        await database.close()
    return "runs"


async def with_bots(url: str, *bot_ids: int) -> None:
    assert await started(url, SAME) == "runs"
    database = await Database.open(url)
    for bot_id in bot_ids:
        await Bots(database, Seal(SAME)).add(
            bot_id, f"{bot_id}:token", username="", first_name="", behaviours={}, now_ms=1
        )
    await database.close()


async def written(url: str, statement: Update) -> None:
    database = await Database.open(url)
    await database.write_alone(lambda connection: connection.execute(statement))
    await database.close()


class TestIdentityOnSqlite(IdentityContract, OnSqlite):
    async def test_another_key_becomes_that_of_a_database_in_which_nothing_is_encrypted(self, url: str) -> None:
        assert [await started(url, key) for key in (SAME, OTHER)] == ["runs", "runs"]


class TestIdentityOnPostgres(IdentityContract, OnPostgres):
    async def test_of_processes_that_start_at_once_those_with_another_secret_key_are_refused(self, url: str) -> None:
        first = await started(url, SAME)
        said = await asyncio.gather(*(started(url, key) for key in (SAME, OTHER, SAME)))

        assert [first, said[0], said[2]] == ["runs"] * 3
        assert said[1].startswith("SECRET_KEY is not the one of the other processes of this database")
        assert OTHER not in said[1]
