"""Which processes of a database are alive: each holds a lock of its own for as long as it lives.

A process whose connection broke counts as dead until it has its lock again, a second later. If another process adopts
its updates meanwhile, they are handled twice; what their handlers submit has the same dedup keys, and is accepted once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import text

from tempogram.engine.model.errors import SettingsError
from tempogram.storage.database.database import Database
from tempogram.storage.database.driver_errors import DRIVER_ERRORS, as_ledger_error
from tempogram.storage.database.engines import is_sqlite, parse, reading_engine
from tempogram.storage.processes.epochs import CHANNEL, Announcements
from tempogram.storage.processes.exclusive_lock import CHECK_EVERY_S, LOCK_QUERY_TIMEOUT_S
from tempogram.storage.processes.held_locks import HALF_BITS, HELD, KEY_LOCKS, PROCESS_LOCKS, HeldLocks
from tempogram.storage.processes.session_lock import CONFIRM_S, TELL, SessionLock

log = structlog.get_logger()

FRESH_S = 1.0
"""How long ago the locks may have been read with the epoch, which the leader reads at each step."""


def lock_id(process: str) -> str:
    """Return the lock of a process as an SQL expression.

    >>> lock_id("owner")
    '(8272136::bigint << 32) | owner'
    """
    return f"({PROCESS_LOCKS}::bigint << 32) | {process}"


class SqlMembership:
    """See ``Membership``. Reads all held locks from PostgreSQL; with SQLite there is a single process.

    Args:
        held_locks: What is read with the epoch; None: nothing is.
    """

    def __init__(self, database: Database, held_locks: HeldLocks | None = None) -> None:
        self._database = database
        self._held_locks = held_locks or HeldLocks()
        self._alive: frozenset[int] = frozenset()

    async def alive(self) -> frozenset[int]:
        if self._database.dialect == "sqlite":
            return frozenset()
        if not self._held_locks.are_known(within_s=FRESH_S):
            async with self._database.reading() as connection:
                self._held_locks.note((await connection.execute(text(HELD))).one())
        before, self._alive = self._alive, self._held_locks.processes
        if before - self._alive:
            await self._tell()
        return self._alive

    async def without_key(self, fingerprint: int) -> frozenset[int]:
        """Return the living processes that do not have a ``SECRET_KEY``; none with SQLite, where there is one."""
        if self._database.dialect == "sqlite":
            return frozenset()
        async with self._database.reading() as connection:
            self._held_locks.note((await connection.execute(text(HELD))).one())
        return self._held_locks.without_key(fingerprint)

    async def _tell(self) -> None:
        """Have the other processes read the locks."""
        async with self._database.reading() as connection:
            await connection.execute(TELL, {"channel": CHANNEL})


@asynccontextmanager
async def membership(
    url: str, process: int, held_locks: HeldLocks | None = None, *, fingerprints: Sequence[int] = ()
) -> AsyncIterator[Announcements]:
    """Hold the lock of this process until the block ends, and hear what others announce; with SQLite there are none.

    ``fingerprints`` are of the keys that it has.

    Raises:
        SettingsError: Another process has the same number.
        LedgerError: The database cannot be reached.
    """
    parsed, announcements = parse(url), Announcements()
    if is_sqlite(parsed):
        yield announcements
        return
    engine = reading_engine(parsed, query_timeout_s=LOCK_QUERY_TIMEOUT_S)
    keys = [(KEY_LOCKS << HALF_BITS) | each for each in fingerprints]
    lock = SessionLock(engine, (PROCESS_LOCKS << HALF_BITS) | process, held_locks=held_locks, beside=keys)
    try:
        await _take(lock, process)
        keeping = asyncio.create_task(_keep(lock, process, announcements))
        try:
            yield announcements
        finally:
            keeping.cancel()
    finally:
        await lock.release()
        await engine.dispose()


async def _take(lock: SessionLock, process: int) -> None:
    try:
        is_ours = await lock.take()
    except DRIVER_ERRORS as error:
        raise as_ledger_error(error) from error
    if not is_ours:
        raise SettingsError(f"another process drew the same random number, {process}; start again")


async def _keep(lock: SessionLock, process: int, announcements: Announcements) -> None:
    was_held = True
    while True:
        await asyncio.sleep(CHECK_EVERY_S)
        is_held = await _hold(lock, announcements)
        if was_held and not is_held:
            log.warning("process_lock_lost", process=process)
        elif is_held and not was_held:
            log.info("process_lock_regained", process=process)
        was_held = is_held


async def _hold(lock: SessionLock, announcements: Announcements) -> bool:
    try:
        is_held = await lock.is_held(within_s=CONFIRM_S) or await lock.take()
        if is_held and not announcements.are_heard:
            await lock.listen(CHANNEL, hear=announcements.hear, end=announcements.end)
            announcements.begin()
    except DRIVER_ERRORS:
        await lock.release()
        return False
    else:
        return is_held
