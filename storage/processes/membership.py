"""Whether a process lives: as long as it does, it holds the lock of its number.

A process whose connection broke counts as dead until it has the lock again, a second later. If another takes over its
updates meanwhile, they are handled twice; what their handlers submit bears the same keys, and is accepted once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import text

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.database import Database
from tempogram.storage.database.driver_errors import DRIVER_ERRORS, as_ledger_error
from tempogram.storage.database.engines import is_sqlite, parse, reading_engine
from tempogram.storage.processes.exclusive_lock import LOCK_QUERY_TIMEOUT_S, LOOK_EVERY_S
from tempogram.storage.processes.session_lock import SessionLock

log = structlog.get_logger()

MEMBERS = 0x7E3908
"""The first half of every such lock; any number, the same in every version."""


def lock_id(process: str) -> str:
    """Return the lock of a process, as PostgreSQL writes it.

    >>> lock_id("owner")
    '(8272136::bigint << 32) | owner'
    """
    return f"({MEMBERS}::bigint << 32) | {process}"


class SqlMembership:
    """See ``Membership``: a query of PostgreSQL for all their locks; with SQLite there is nobody to ask for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def alive(self) -> frozenset[int]:
        if self._database.dialect == "sqlite":
            return frozenset()
        async with self._database.reading() as connection:
            return frozenset((await connection.execute(ALIVE, {"members": MEMBERS})).scalars())


ALIVE = text("""
    SELECT objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND classid::bigint = :members AND objsubid = 1 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


@asynccontextmanager
async def membership(url: str, process: int) -> AsyncIterator[None]:
    """Be known as alive until the block ends; with SQLite there is nobody to know it.

    Raises:
        SettingsError: Another process has the number.
        LedgerError: The database cannot be reached.
    """
    parsed = parse(url)
    if is_sqlite(parsed):
        yield
        return
    engine = reading_engine(parsed, query_timeout_s=LOCK_QUERY_TIMEOUT_S)
    lock = SessionLock(engine, (MEMBERS << 32) | process)
    try:
        await _take(lock, process)
        keeping = asyncio.create_task(_keep(lock))
        try:
            yield
        finally:
            keeping.cancel()
    finally:
        await lock.drop()
        await engine.dispose()


async def _take(lock: SessionLock, process: int) -> None:
    try:
        is_ours = await lock.take()
    except DRIVER_ERRORS as error:
        raise as_ledger_error(error) from error
    if not is_ours:
        raise SettingsError(f"another process has the number {process}, which was drawn by lot; start again")


async def _keep(lock: SessionLock) -> None:
    was_held = True
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        is_held = await _stands_or_is_taken(lock)
        if was_held and not is_held:
            log.warning("not known as alive just now")
        elif is_held and not was_held:
            log.info("known as alive again")
        was_held = is_held


async def _stands_or_is_taken(lock: SessionLock) -> bool:
    try:
        return await lock.stands() or await lock.take()
    except DRIVER_ERRORS:
        await lock.drop()
        return False
