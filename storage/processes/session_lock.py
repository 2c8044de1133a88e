"""A PostgreSQL advisory lock held by a connection: it ends with the connection, and so with the process."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tempogram.storage.database.driver_errors import DRIVER_ERRORS
from tempogram.storage.processes.held_locks import HeldLocks


class SessionLock:
    """Never waits: the lock is taken at once, or another session has it.

    Args:
        engine: Opens its connection; see ``reading_engine``, with a short query timeout.
        lock_id: The same number in every process that means the same lock.
        shared: Many sessions may hold it at once, as long as none holds it exclusively.
        held_locks: What this process reads of all locks anyway; None: nothing.
        beside: Further locks, which it shares with others, over the same connection.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        lock_id: int,
        *,
        shared: bool = False,
        held_locks: HeldLocks | None = None,
        beside: Sequence[int] = (),
    ) -> None:
        self._held_locks = held_locks
        self._beside = beside
        self._engine = engine
        self._lock_id = lock_id
        self._try_lock = TRY_LOCK_SHARED if shared else TRY_LOCK
        self._connection: AsyncConnection | None = None
        self._confirmed_at_s = -math.inf

    async def take(self) -> bool:
        """Take the lock over a connection that stays open; False if another session has it. Raises driver errors."""
        if self._connection is None:
            self._connection = await self._engine.connect()
        taken = (await self._connection.execute(self._try_lock, {"id": self._lock_id})).scalar()
        for lock_id in self._beside if taken else ():
            await self._connection.execute(TRY_LOCK_SHARED, {"id": lock_id})
        self._note(is_held=bool(taken))
        return bool(taken)

    async def is_held(self, *, within_s: float = 0.0) -> bool:
        """Tell whether the lock is still held; if not, or if PostgreSQL does not answer, close the connection.

        Args:
            within_s: How long ago PostgreSQL may have confirmed it, here or in ``held_locks``. That the connection was
                closed, and with it the lock, is known without a question.
        """
        if self._connection is None:
            return False
        if within_s and self._is_confirmed(self._connection, within_s):
            return True
        try:
            is_held = (await self._connection.execute(HAS_LOCK, {"id": self._lock_id})).scalar()
        except DRIVER_ERRORS:
            is_held = False
        self._note(is_held=bool(is_held))
        if not is_held:
            await self.release()
        return bool(is_held)

    def _is_confirmed(self, connection: AsyncConnection, within_s: float) -> bool:
        driver = _driver(connection)
        if driver is None or driver.is_closed():
            return False
        if time.monotonic() - self._confirmed_at_s < within_s:
            return True
        held_locks = self._held_locks
        return held_locks is not None and driver.get_server_pid() in held_locks.holders(
            self._lock_id, within_s=within_s
        )

    def _note(self, *, is_held: bool) -> None:
        self._confirmed_at_s = time.monotonic() if is_held else -math.inf

    async def listen(self, channel: str, *, hear: Callable[..., None], end: Callable[..., None]) -> None:
        """Have PostgreSQL tell over the lock's connection what is notified on a channel, until that is closed.

        Raises driver errors.
        """
        driver = None if self._connection is None else _driver(self._connection)
        if driver is not None:
            driver.add_termination_listener(end)
            await driver.add_listener(channel, hear)

    async def tell(self, channel: str) -> None:
        """Have all that listen read the locks."""
        if self._connection is not None:
            await self._connection.execute(TELL, {"channel": channel})

    async def unlock(self, *, tell: str) -> None:
        """Give the lock up, and tell a channel; if PostgreSQL does not answer, no process hears of it."""
        if self._connection is not None:
            with contextlib.suppress(*DRIVER_ERRORS):
                await self._connection.execute(UNLOCK, {"id": self._lock_id, "channel": tell})

    async def release(self) -> None:
        """Close the connection, and with it the lock; a broken connection is only discarded."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*DRIVER_ERRORS):
                await connection.invalidate()
                await connection.close()


def _driver(connection: AsyncConnection) -> Any:
    sync = connection.sync_connection
    return None if sync is None or sync.invalidated else sync.connection.driver_connection


CONFIRM_S = 30.0
"""How long ago a lock may have been confirmed that only an unanswering network could have taken away unnoticed.

untuned: what ends with the process, or with PostgreSQL, closes the connection."""

TRY_LOCK = text("SELECT pg_try_advisory_lock(:id)")
TRY_LOCK_SHARED = text("SELECT pg_try_advisory_lock_shared(:id)")

TELL = text("SELECT pg_notify(:channel, '')")
UNLOCK = text("SELECT pg_advisory_unlock(:id), pg_notify(:channel, '')")

HAS_LOCK = text("""
    SELECT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND (classid::bigint << 32) | objid::bigint = :id AND objsubid = 1
          AND pid = pg_backend_pid() AND granted
    )
""")
