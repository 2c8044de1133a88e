"""Lets one process at a time keep its queue in memory: two would each think that the limits are theirs alone.

Processes whose queue is in Redis share the books among themselves, and with nobody whose queue is in its memory.
"""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from tempogram.engine.model.errors import LedgerError, SettingsError
from tempogram.storage.database.driver_errors import DRIVER_ERRORS, as_ledger_error
from tempogram.storage.database.engines import is_sqlite, parse, reading_engine
from tempogram.storage.processes.session_lock import SessionLock

log = structlog.get_logger()

LOCK_ID = 0x7E3906  # any number, the same in every version

PATIENCE_S = 5.0
"""PostgreSQL needs a moment to notice that a process which held the lock was killed. A guess."""


ASK_AGAIN_S = 0.1

LOCK_QUERY_TIMEOUT_S = 3.0
"""How long a look may take: over a connection that is half open no answer ever comes, and meanwhile another process
may have the books. A guess."""

LOOK_EVERY_S = 1.0
"""A process that takes lost books first waits for one window; the shortest is as long. A guess."""


class SoleUse:
    """The books are this process's. A lock on an open file cannot be lost."""

    async def watch(self) -> None:
        """Keep them for as long as this runs.

        Raises:
            SettingsError: They were lost, and another process has them.
        """
        await asyncio.Event().wait()


class PostgresSoleUse(SoleUse):
    """The lock is a connection's, and breaks with it; then it is taken again at once, if nobody else has it."""

    def __init__(self, engine: AsyncEngine, name: str, patience_s: float, *, shared: bool) -> None:
        self._engine = engine
        self._lock = SessionLock(engine, LOCK_ID, shared=shared)
        self._name = name
        self._patience_s = patience_s
        self._taken = _has_memory_queue if shared else _taken

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Make sure of the lock; raises as ``watch`` does. While the database is away, nobody can take it."""
        if await self._lock.stands():
            return
        log.warning("the lock on the books is lost", books=self._name)
        while not await self._lock.stands():
            try:
                await self.take()
            except LedgerError:
                await asyncio.sleep(LOOK_EVERY_S)
        log.info("the lock on the books is held again", books=self._name)

    async def take(self) -> None:
        until_s = time.monotonic() + self._patience_s
        try:
            while not await self._lock.take():
                if time.monotonic() > until_s:
                    raise self._taken(self._name)
                await asyncio.sleep(ASK_AGAIN_S)
        except DRIVER_ERRORS as error:
            await self._lock.drop()
            raise as_ledger_error(error) from error

    async def close(self) -> None:
        await self._lock.drop()
        await self._engine.dispose()


@asynccontextmanager
async def sole_use(url: str, *, shared: bool = False, patience_s: float = PATIENCE_S) -> AsyncIterator[SoleUse]:
    """Keep other processes from these books until the block ends, or this process does.

    Args:
        url: Of the books.
        shared: The queue is in Redis: only those with a queue in their memory are kept from them. An SQLite file
            is one process's all the same.
        patience_s: How long to wait for another that has them.

    Raises:
        SettingsError: Another process has them.
        LedgerError: The database cannot be reached.
    """
    parsed = parse(url)
    if is_sqlite(parsed):
        with _locked_file(str(parsed.database)):
            yield SoleUse()
        return
    engine = reading_engine(parsed, query_timeout_s=LOCK_QUERY_TIMEOUT_S)
    use = PostgresSoleUse(engine, str(parsed.database), patience_s, shared=shared)
    try:
        await use.take()
        yield use
    finally:
        await use.close()


@contextmanager
def _locked_file(name: str) -> Iterator[None]:
    path = Path(f"{name}.lock")
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(name) from None
        yield


def _taken(name: str) -> SettingsError:
    return SettingsError(
        f"another tempogram runs on the books {name}, and beside a queue in memory it would send twice as fast as "
        "allowed; end it first, or set DATABASE_URL or DATA_DIR to other books"
    )


def _has_memory_queue(name: str) -> SettingsError:
    return SettingsError(
        f"a tempogram with a queue in its memory runs on the books {name}, and beside the queue in Redis it would "
        "send twice as fast as allowed; end it first, or start it again with this REDIS_URL"
    )
