"""Databases, opened. A contract class asks for ``url``; ``OnSqlite`` and ``OnPostgres`` say which."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tempogram.storage.database.database import Database
from tempogram.storage.database.models import metadata
from tests.storage.servers import own_postgres, run


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """One database for all tests; nobody else knows its name, so each test may find it emptied."""
    with own_postgres() as url:
        yield url


@pytest.fixture
def fresh_postgres() -> Iterator[str]:
    with own_postgres() as url:
        yield url


@pytest.fixture
def empty_postgres(postgres: str) -> str:
    tables = ", ".join(metadata.tables)
    asyncio.run(_migrated(postgres))
    asyncio.run(run(postgres, f"TRUNCATE {tables} RESTART IDENTITY"))
    return postgres


async def _migrated(url: str) -> None:
    await (await Database.open(url)).close()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = await Database.open(url)
    yield database
    await database.close()
