"""Leader election: one process of those that share a database, for as long as its connection lasts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from tempogram.engine.ports.epochs import Leadership
from tempogram.storage.database.driver_errors import DRIVER_ERRORS
from tempogram.storage.database.engines import is_sqlite, parse, reading_engine
from tempogram.storage.processes.epochs import CHANNEL
from tempogram.storage.processes.exclusive_lock import LOCK_QUERY_TIMEOUT_S
from tempogram.storage.processes.held_locks import HeldLocks
from tempogram.storage.processes.session_lock import CONFIRM_S, SessionLock

# Any numbers, the same in every version, and different from the other locks' (``LEADER_LOCK`` is the queue's leader's).
UPDATE_SOURCES_LOCK = 0x7E3909
"""The process that polls and sets webhooks."""

UPKEEP_LOCK = 0x7E390A
"""The process that deletes what is outdated, and completes removals."""

SEEN_WITHIN_S = 6.0
"""How long ago another process may have been seen to lead. Locks are read with the epoch, each 5 s with the lease that
is the default, and at once when a leader resigns, or tells of a death."""


class SingleProcessLeadership:
    """See ``Leadership``. For SQLite, where no other process shares the database."""

    async def leads(self, *, surely: bool = False) -> bool:  # noqa: ARG002 - see ``Leadership``
        return True

    async def resign(self) -> None:
        """Do nothing: there is no other process to lead."""


class PostgresLeadership:
    """See ``Leadership``.

    Args:
        held_locks: What this process has read of the lock; None: it tries to take it each time.
    """

    def __init__(self, engine: AsyncEngine, lock_id: int, held_locks: HeldLocks | None = None) -> None:
        self._lock = SessionLock(engine, lock_id, held_locks=held_locks)
        self._lock_id = lock_id
        self._held_locks = held_locks
        self._leads = False

    async def leads(self, *, surely: bool = False) -> bool:
        within_s = 0.0 if surely else CONFIRM_S
        self._leads = await (self._lock.is_held(within_s=within_s) if self._leads else self._take())
        return self._leads

    async def resign(self) -> None:
        if self._leads and self._held_locks is not None:
            self._held_locks.forget()
            await self._lock.unlock(tell=CHANNEL)
        self._leads = False
        await self._lock.release()

    async def _take(self) -> bool:
        if self._held_locks is not None and self._held_locks.holders(self._lock_id, within_s=SEEN_WITHIN_S):
            return False
        try:
            leads = await self._lock.take()
            if leads and self._held_locks is not None:
                await self._lock.tell(CHANNEL)
            return leads  # noqa: TRY300 - in one piece
        except DRIVER_ERRORS:
            await self._lock.release()
            return False


@asynccontextmanager
async def leadership(url: str, lock_id: int, held_locks: HeldLocks | None = None) -> AsyncIterator[Leadership]:
    """Take part in an election among the processes of a database; a lead is given up when the block ends.

    ``held_locks``: what this process reads of all locks anyway, and where others hear of a lead that ends.
    """
    parsed = parse(url)
    if is_sqlite(parsed):
        yield SingleProcessLeadership()
        return
    engine = reading_engine(parsed, query_timeout_s=LOCK_QUERY_TIMEOUT_S)
    candidate = PostgresLeadership(engine, lock_id, held_locks)
    try:
        yield candidate
    finally:
        await candidate.resign()
        await engine.dispose()
