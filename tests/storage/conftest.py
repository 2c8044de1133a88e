"""Opened databases. A contract class uses ``url``; ``OnSqlite`` and ``OnPostgres`` provide it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tempogram.storage.database.database import Database
from tempogram.storage.database.models import metadata
from tests.storage.servers import own_postgres, run


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """One migrated database for all tests of this process; each test empties it first."""
    with own_postgres() as url:
        asyncio.run(_migrate(url))
        yield url


@pytest.fixture
def fresh_postgres() -> Iterator[str]:
    """A database without tables."""
    with own_postgres() as url:
        yield url


DELETE_ALL = f"DO $$ BEGIN {' '.join(f'DELETE FROM {table};' for table in metadata.tables)} END $$"  # noqa: S608
"""``TRUNCATE`` makes new files for each table and index, which takes 0.3 s instead of 0.02."""


@pytest.fixture
def empty_postgres(postgres: str) -> str:
    asyncio.run(run(postgres, DELETE_ALL))
    return postgres


async def _migrate(url: str) -> None:
    await (await Database.open(url)).close()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = await Database.open(url)
    yield database
    await database.close()
