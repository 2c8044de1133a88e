"""The connection that writes: one thread of its own on SQLite, one connection of its own on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tempogram.engine.model.errors import LedgerError
from tempogram.storage.database.engines import is_sqlite, reading_engine, sqlite_writing_engine


class SqliteWriter:
    """See ``Writer``. A whole transaction is one hop to the thread, however many statements it has."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._connection: Connection | None = None

    async def transact(self, work: Callable[[Connection], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _transact(self, work: Callable[[Connection], None]) -> None:
        if self._connection is None:
            self._connection = self._engine.connect()
        _in_transaction(self._connection, work)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()


class PostgresWriter:
    """See ``Writer``. After an error it opens a new connection: the old one may be broken.

    Args:
        engine: Its own, so that it never waits for a reader's connection.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="READ COMMITTED")
        self._connection: AsyncConnection | None = None

    async def transact(self, work: Callable[[Connection], None]) -> None:
        if self._connection is None:
            self._connection = await self._engine.connect()
        try:
            await self._connection.run_sync(_in_transaction, work)
        except BaseException:
            await self._disconnect()
            raise

    async def close(self) -> None:
        await self._disconnect()
        await self._engine.dispose()

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class ReadOnlyWriter:
    """See ``Writer``. Refuses every write."""

    @staticmethod
    async def transact(work: Callable[[Connection], None]) -> None:  # noqa: ARG004 - it is refused
        raise LedgerError("the database was opened read-only")

    @staticmethod
    async def close() -> None:
        """Do nothing: no connection was opened."""


def writer_of(url: URL) -> SqliteWriter | PostgresWriter:
    """Return a writer with a connection of its own, so that no reader keeps it waiting."""
    if is_sqlite(url):
        return SqliteWriter(sqlite_writing_engine(url))
    return PostgresWriter(reading_engine(url, connections=1))


def _in_transaction(connection: Connection, work: Callable[[Connection], Any]) -> None:
    with connection.begin():
        work(connection)
