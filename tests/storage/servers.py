"""Databases that a test creates and drops."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from tempogram.storage.database.driver_errors import DRIVER_ERRORS

SERVER_URL = os.environ.get("TEST_POSTGRES_URL", "postgresql+asyncpg://postgres@127.0.0.1:5432/postgres")

# Waits for each: until a session has ended, it holds its locks.
DISCONNECT_OTHERS = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@contextmanager
def own_postgres() -> Iterator[str]:
    """Create a database with a random name, and drop it at the end."""
    name = f"tempogram_test_{secrets.token_hex(8)}"
    try:
        asyncio.run(run(SERVER_URL, f'CREATE DATABASE "{name}"'))
    except DRIVER_ERRORS as error:
        _do_without(error)
    try:
        yield make_url(SERVER_URL).set(database=name).render_as_string(hide_password=False)
    finally:
        asyncio.run(run(SERVER_URL, f'DROP DATABASE "{name}" WITH (FORCE)'))


async def run(url: str, statement: str) -> None:
    """Run one statement, also one that PostgreSQL does not allow in a transaction."""
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text(statement))
    finally:
        await engine.dispose()


def _do_without(error: BaseException) -> None:
    reason = (
        f"NO POSTGRESQL at {make_url(SERVER_URL)!r} (TEST_POSTGRES_URL): half of the storage tests are skipped: {error}"
    )
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
