"""The connection that writes: one thread of its own on SQLite, one connection of its own on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tempogram.engine.model.errors import LedgerError


class SqliteWriter:
    """See ``Writer``. A whole transaction is one hop to the thread, whatever number of statements it has."""

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
    """See ``Writer``. After an error it takes a new connection: the old one may be gone.

    Args:
        engine: Its own: nobody who reads keeps it waiting.
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
            await self._let_go()
            raise

    async def close(self) -> None:
        await self._let_go()
        await self._engine.dispose()

    async def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class NoWriter:
    """See ``Writer``. For whoever only looks."""

    @staticmethod
    async def transact(work: Callable[[Connection], None]) -> None:  # noqa: ARG004 - it is not done
        raise LedgerError("the database was opened to be looked at")

    @staticmethod
    async def close() -> None:
        """Have nothing to let go of."""


def _in_transaction(connection: Connection, work: Callable[[Connection], Any]) -> None:
    with connection.begin():
        work(connection)
