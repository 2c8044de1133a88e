"""A lock that a connection to PostgreSQL holds: it ends with the connection, and so with the process."""

from __future__ import annotations

import contextlib

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tempogram.storage.database.driver_errors import DRIVER_ERRORS


class SessionLock:
    """Nobody waits for it: it is taken at once, or another has it.

    Args:
        engine: Whose connection it takes; see ``reading_engine``, with a short time to answer.
        lock_id: The same number in every process that means the same lock.
        shared: Many may have it at once, as long as nobody has it alone.
    """

    def __init__(self, engine: AsyncEngine, lock_id: int, *, shared: bool = False) -> None:
        self._engine = engine
        self._lock_id = lock_id
        self._try_lock = TRY_LOCK_SHARED if shared else TRY_LOCK
        self._connection: AsyncConnection | None = None

    async def take(self) -> bool:
        """Take it, over a connection that stays; False if another has it. The drivers' errors come through."""
        if self._connection is None:
            self._connection = await self._engine.connect()
        taken = (await self._connection.execute(self._try_lock, {"id": self._lock_id})).scalar()
        return bool(taken)

    async def stands(self) -> bool:
        """Tell whether it is still held; if it is not, or nobody can be asked, let go of the connection."""
        if self._connection is None:
            return False
        try:
            stands = (await self._connection.execute(HAS_LOCK, {"id": self._lock_id})).scalar()
        except DRIVER_ERRORS:
            stands = False
        if not stands:
            await self.drop()
        return bool(stands)

    async def drop(self) -> None:
        """Let go of the connection, and with it of the lock; one that is broken cannot be closed in order."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*DRIVER_ERRORS):
                await connection.invalidate()
                await connection.close()


TRY_LOCK = text("SELECT pg_try_advisory_lock(:id)")
TRY_LOCK_SHARED = text("SELECT pg_try_advisory_lock_shared(:id)")

HAS_LOCK = text("""
    SELECT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND (classid::bigint << 32) | objid::bigint = :id AND objsubid = 1
          AND pid = pg_backend_pid() AND granted
    )
""")
