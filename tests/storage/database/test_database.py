from __future__ import annotations

from pathlib import Path

import pytest

from tempogram.engine.model.errors import LedgerAway, LedgerError, SettingsError
from tempogram.storage.database.database import Database


@pytest.mark.parametrize("url", ["mysql://me:hush@db/fleet", "redis://me:hush@db", "sqlite+pysqlite:///fleet.db"])
async def test_a_url_of_another_database_is_refused_without_quoting_its_password(url: str) -> None:
    with pytest.raises(
        SettingsError, match=r"^DATABASE_URL begins with \S+://; it must begin with sqlite:/// or postgresql://$"
    ) as refused:
        await Database.open(url)

    assert "hush" not in str(refused.value)


async def test_a_malformed_url_is_not_quoted() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL is not a URL"):
        await Database.open("me:hush@db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
async def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="the database must outlive the process"):
        await Database.open(url)


async def test_a_file_with_parameters_is_refused_as_its_lock_and_its_wal_are_found_by_its_path() -> None:
    with pytest.raises(SettingsError, match="write its path, as in sqlite:///path"):
        await Database.open("sqlite:///file:fleet.db?nolock=1&uri=true")


async def test_a_server_that_refuses_connections_is_an_error_at_once() -> None:
    with pytest.raises(LedgerAway, match="the database cannot be reached"):
        await Database.open("postgresql://me:hush@127.0.0.1:1/fleet")


async def test_a_file_that_is_not_a_database_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "fleet.db"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)

    with pytest.raises(LedgerError, match="file is not a database"):
        await Database.open(f"sqlite:///{path}")


async def test_a_missing_folder_of_a_database_is_created(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path / 'deep' / 'fleet.db'}")

    await database.close()

    assert (tmp_path / "deep" / "fleet.db").exists()
