"""The backups that ``docs/deploy.md`` describes bring back what waited, and tokens that can be read."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from tempogram.bot.config.settings import Settings, load
from tempogram.bot.wiring import Storage, open_storage
from tests import ROOT
from tests.chaos.servers import own_redis
from tests.end_to_end.documented import Command, Shell, commands_in, is_as_documented
from tests.fakes import START_MS, Clock, outgoing
from tests.storage.servers import own_postgres

TOKEN = "42:token-of-the-test-bot"
BACKUPS = (ROOT / "docs" / "deploy.md").read_text().partition("\n## Backups\n")[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def commands_of(database: str) -> list[Command]:
    """Return the commands of a section, without Docker's, which need its daemon."""
    section = BACKUPS.partition(f"### {database}\n")[2].partition("\n### ")[0]
    return [command for command in commands_in(section) if not command.text.startswith("docker ")]


def needed(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"NO {' AND NO '.join(missing)}: the backups are not tested")
    if missing:
        pytest.skip(f"NO {' AND NO '.join(missing)}: the backups are not tested")


@asynccontextmanager
async def storage_in(folder: Path, url: str = "", *, key: str = "") -> AsyncIterator[Storage]:
    async with open_storage(settings(folder, url, key), Clock()) as storage:
        yield storage


def settings(folder: Path, url: str, key: str) -> Settings:
    return load(data_dir=folder / "data", database_url=url, secret_key=SecretStr(key))


async def fill(storage: Storage) -> None:
    """Store a bot and a message that waits."""
    await storage.bots.add(42, TOKEN, username="b", first_name="B", behaviours={}, now_ms=START_MS)
    await storage.ledger.add([outgoing("a" * 26, bot_id=42)])


async def is_there(storage: Storage) -> bool:
    waiting = await storage.ledger.open_ids(after_id="", limit=10)
    return waiting == ["a" * 26] and await storage.bots.tokens() == {42: TOKEN}


async def follow(shell: Shell, command: Command, here: Mapping[str, str]) -> None:
    """Run a command with what stands for its addresses here; it succeeds, and prints what its document shows."""
    text = command.text
    for documented, actual in here.items():
        text = text.replace(documented, actual)
    printed, _, status = (await shell.run(f"{text}\nprintf '\nstatus %s' $?")).rpartition("\nstatus ")
    assert status.strip() == "0", f"{text}\n{printed}"
    assert is_as_documented(printed, command.printed), printed


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without a ``.env``."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def postgres_url() -> Iterator[str]:
    with own_postgres() as url:
        yield url


async def test_a_backup_of_sqlite_is_made_while_it_runs_and_brings_back_what_waited(tmp_path: Path) -> None:
    needed("sqlite3")
    commands, elsewhere = commands_of("SQLite"), tmp_path / "elsewhere"
    elsewhere.mkdir()

    async with Shell(tmp_path, {}) as shell:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "admin_token").write_text("an-admin-token-for-tests")
        async with storage_in(tmp_path) as storage:
            await fill(storage)
            for command in commands[:2]:
                await follow(shell, command, {"/another/place": str(elsewhere)})
            await storage.ledger.add([outgoing("b" * 26, bot_id=42)])
        (tmp_path / "data" / "secret_key").unlink()
        for command in commands[2:]:
            await follow(shell, command, {"/another/place": str(elsewhere)})

    async with storage_in(tmp_path) as storage:
        assert await is_there(storage)


@pytest.mark.postgres
async def test_a_backup_of_postgresql_is_made_while_it_runs_and_brings_back_what_waited(
    tmp_path: Path, postgres_url: str
) -> None:
    needed("pg_dump", "pg_restore", "redis-cli", "redis-server")
    commands, key = commands_of("PostgreSQL"), "a-secret-key-for-tests"

    environment = {"PYTHONPATH": str(ROOT), "DATABASE_URL": postgres_url}
    async with own_redis() as redis, Shell(tmp_path, environment) as shell, Redis.from_url(redis.url) as client:
        here = {
            "postgresql://tempogram@127.0.0.1/tempogram": postgres_url.replace("+asyncpg", ""),
            "redis-cli": f"redis-cli -p {redis.port}",
            "tempogram migrate": f"{sys.executable} -m tempogram migrate",
        }
        await client.set("newer", "than the database")
        async with storage_in(tmp_path, postgres_url, key=key) as storage:
            await fill(storage)
            for command in commands[:3]:
                await follow(shell, command, here)
            await storage.ledger.add([outgoing("b" * 26, bot_id=42)])
        for command in commands[3:]:
            await follow(shell, command, here)
        left_in_redis = await client.dbsize()

    async with storage_in(tmp_path, postgres_url, key=key) as storage:
        assert await is_there(storage)
    assert left_in_redis == 0


@pytest.mark.postgres
async def test_the_queries_for_a_look_into_postgresql_work(tmp_path: Path, postgres_url: str) -> None:
    needed("psql")
    queries = [command for command in commands_in(OPERATIONS) if command.text.startswith("psql ")]

    async with storage_in(tmp_path, postgres_url, key="a-secret-key-for-tests"):
        pass
    async with Shell(tmp_path, {"DATABASE": postgres_url.replace("+asyncpg", "")}) as shell:
        for query in queries:
            await follow(shell, query, {})

    assert queries
