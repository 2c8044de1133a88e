from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.database import Database
from tempogram.storage.database.engines import parse
from tempogram.storage.database.models import metadata
from tempogram.storage.database.writers import writer_of
from tempogram.storage.migrations import _config, config_of, migrate, newest, versions
from tests import ROOT
from tests.storage.backends import OnPostgres, OnSqlite

MIGRATE = "import asyncio, sys; from tempogram.storage.migrations import migrate; asyncio.run(migrate(sys.argv[1]))"


def execute(statement: str, connection: Connection) -> None:
    connection.execute(text(statement))


def note_tables(found: list[list[str]], connection: Connection) -> None:
    found.append(inspect(connection).get_table_names())


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def migrating(url: str) -> int:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", MIGRATE, url, cwd=ROOT)
    return await process.wait()


class MigrationsContract:
    async def test_the_migrations_make_what_the_models_say(self, fresh: str) -> None:
        database = await Database.open(fresh)

        async with database.reading() as connection:
            found = await connection.run_sync(differences)

        await database.close()
        assert found == []

    async def test_migrating_again_changes_nothing(self, fresh: str) -> None:
        await migrate(fresh)

        await migrate(fresh)

    async def test_tables_of_a_newer_version_are_left_as_they_are(self, fresh: str) -> None:
        database = await Database.open(fresh)
        newer = text("UPDATE alembic_version SET version_num = '9999'")
        await database.write_alone(lambda connection: connection.execute(newer))
        await database.close()

        await migrate(fresh)
        database = await Database.open(fresh)

        async with database.reading() as connection:
            found, _ = await versions(connection)
        await database.close()
        assert found == "9999"

    @pytest.mark.parametrize(
        ("statements", "what"),
        [
            (["CREATE TABLE messages (id INTEGER)"], "a table 'messages' that is not Tempogram's"),
            (
                [
                    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
                    "INSERT INTO alembic_version VALUES ('3f2a9c1b7d10')",
                ],
                "the revision '3f2a9c1b7d10' of another program's migrations",
            ),
        ],
        ids=["tables", "migrations"],
    )
    async def test_a_database_of_another_program_is_refused_and_left_as_it_is(
        self, fresh: str, statements: list[str], what: str
    ) -> None:
        writer = writer_of(parse(fresh))
        for statement in statements:
            await writer.transact(partial(execute, statement))
        found: list[list[str]] = []
        await writer.transact(partial(note_tables, found))

        with pytest.raises(SettingsError, match=what):
            await Database.open(fresh)

        await writer.transact(partial(note_tables, found))
        await writer.close()
        assert found[0] == found[1]

    async def test_processes_that_start_at_once_migrate_once(self, fresh: str) -> None:
        exits = await asyncio.gather(*(migrating(fresh) for _ in range(3)))

        assert exits == [0, 0, 0]

    async def test_every_migration_can_be_taken_back_and_made_again(self, fresh: str) -> None:
        database = await Database.open(fresh)

        await database.write_alone(lambda connection: command.downgrade(config_of(connection), "base"))
        async with database.reading() as connection:
            left = await connection.run_sync(lambda each: inspect(each).get_table_names())
        await database.write_alone(lambda connection: command.upgrade(config_of(connection), "head"))
        async with database.reading() as connection:
            found = await connection.run_sync(differences)

        await database.close()
        assert (left, found) == (["alembic_version"], [])


class TestMigrationsOnSqlite(OnSqlite, MigrationsContract):
    @pytest.fixture
    def fresh(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'fresh.db'}"


class TestMigrationsOnPostgres(OnPostgres, MigrationsContract):
    @pytest.fixture
    def fresh(self, fresh_postgres: str) -> str:
        return fresh_postgres


def test_the_newest_version_by_the_names_of_the_files_is_alembics() -> None:
    assert newest() == ScriptDirectory.from_config(_config()).get_current_head()
