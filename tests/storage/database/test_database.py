from __future__ import annotations

from pathlib import Path

import pytest

from tempogram.engine.model.errors import LedgerError, SettingsError
from tempogram.storage.database.database import Database


@pytest.mark.parametrize("url", ["mysql://me:hush@db/books", "redis://me:hush@db", "sqlite+pysqlite:///books.db"])
async def test_a_url_of_another_kind_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^DATABASE_URL .* is neither sqlite:///… nor postgresql://…$") as refused:
        await Database.open(url)

    assert "hush" not in str(refused.value)


async def test_what_is_no_url_at_all_is_not_quoted() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL is not a URL"):
        await Database.open("me:hush@db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
async def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="the database must outlive the process"):
        await Database.open(url)


async def test_a_server_that_is_not_there_is_told_and_not_waited_for() -> None:
    with pytest.raises(LedgerError, match="the database refused"):
        await Database.open("postgresql://me:hush@127.0.0.1:1/books")


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "books.db"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)

    with pytest.raises(LedgerError, match="file is not a database"):
        await Database.open(f"sqlite:///{path}")


async def test_a_file_in_a_folder_that_is_not_there_yet_is_made(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path / 'deep' / 'books.db'}")

    await database.close()

    assert (tmp_path / "deep" / "books.db").exists()
