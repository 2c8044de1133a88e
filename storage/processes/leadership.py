"""Who leads: one process of those that share the books, as long as its connection stands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from tempogram.engine.ports.epochs import Leadership
from tempogram.storage.database.driver_errors import DRIVER_ERRORS
from tempogram.storage.database.engines import is_sqlite, parse, reading_engine
from tempogram.storage.processes.exclusive_lock import LOCK_QUERY_TIMEOUT_S
from tempogram.storage.processes.session_lock import SessionLock

KEEPERS = 0x7E3907  # any numbers, the same in every version, and not that of ``sole_use``
FEEDERS = 0x7E3909


class SoleLeadership:
    """See ``Leadership``. For a process that has its books alone."""

    async def leads(self) -> bool:
        return True

    async def resign(self) -> None:
        """Leave it to nobody: there is no other."""


class PostgresLeadership:
    """See ``Leadership``."""

    def __init__(self, engine: AsyncEngine, lock_id: int) -> None:
        self._lock = SessionLock(engine, lock_id)
        self._leads = False

    async def leads(self) -> bool:
        self._leads = await (self._lock.stands() if self._leads else self._take())
        return self._leads

    async def resign(self) -> None:
        self._leads = False
        await self._lock.drop()

    async def _take(self) -> bool:
        try:
            return await self._lock.take()
        except DRIVER_ERRORS:
            await self._lock.drop()
            return False


@asynccontextmanager
async def leadership(url: str, lock_id: int) -> AsyncIterator[Leadership]:
    """Lend what tells whether this process leads on these books; it leads no more when the block ends."""
    parsed = parse(url)
    if is_sqlite(parsed):
        yield SoleLeadership()
        return
    engine = reading_engine(parsed, query_timeout_s=LOCK_QUERY_TIMEOUT_S)
    leads = PostgresLeadership(engine, lock_id)
    try:
        yield leads
    finally:
        await leads.resign()
        await engine.dispose()
