"""Lets one process at a time have its queue in memory: two would each count the limits for themselves.

Processes whose queue is in Redis share a database with one another, but not with a process whose queue is in memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from tempogram.engine.model.errors import LedgerError, SettingsError
from tempogram.storage.database.driver_errors import DRIVER_ERRORS, as_ledger_error
from tempogram.storage.database.engines import is_sqlite, parse, reading_engine
from tempogram.storage.processes.clean_end import recover
from tempogram.storage.processes.file_lock import FileInUse, LockedFile, locked_file
from tempogram.storage.processes.session_lock import CONFIRM_S, SessionLock

log = structlog.get_logger()

EXCLUSIVE_LOCK = 0x7E3906  # any number, the same in every version

# untuned: each is short beside the time that a start or an outage takes.
LOCK_TIMEOUT_S = 5.0
"""How long a start waits for the lock: PostgreSQL needs a moment to notice that its holder was killed."""

LOCK_RETRY_S = 0.1

LOCK_QUERY_TIMEOUT_S = 3.0
"""A half-open connection never answers, and meanwhile another process may take the lock."""

CHECK_EVERY_S = 1.0
"""A process that takes over a lost database first waits for one window, and the shortest window is as long."""


class ExclusiveLock(Protocol):
    """The lock on a database."""

    async def watch(self) -> None:
        """Keep the lock until cancelled.

        Raises:
            SettingsError: It was lost, and another process has it, or may have it.
        """


class SqliteExclusiveLock(ExclusiveLock):
    """The lock on an SQLite database: it cannot be lost, but the file's name may come to lead to another file."""

    def __init__(self, file: LockedFile) -> None:
        self._file = file

    async def watch(self) -> None:
        while True:
            self._file.check()
            await asyncio.sleep(CHECK_EVERY_S)


class PostgresExclusiveLock(ExclusiveLock):
    """The lock on a PostgreSQL database. It is lost with its connection, and then taken again as soon as possible."""

    def __init__(self, engine: AsyncEngine, name: str, timeout_s: float, *, shared: bool) -> None:
        self._engine = engine
        self._lock = SessionLock(engine, EXCLUSIVE_LOCK, shared=shared)
        self._name = name
        self._timeout_s = timeout_s
        self._refusal = _memory_queue_in_use if shared else _in_use
        # With a queue in memory, another process sends by its own count a second after it has the lock.
        self._within_s = CONFIRM_S if shared else 0.0

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            await self.check()

    async def check(self) -> None:
        """Take a lost lock again; raises as ``watch`` does. While the database is down, no process can take it."""
        if await self._lock.is_held(within_s=self._within_s):
            return
        log.warning("database_lock_lost", database=self._name)
        while not await self._lock.is_held():
            try:
                await self.take()
            except LedgerError:
                await asyncio.sleep(CHECK_EVERY_S)
        log.info("database_lock_regained", database=self._name)

    async def take(self) -> None:
        until_s = time.monotonic() + self._timeout_s
        try:
            while not await self._lock.take():
                if time.monotonic() > until_s:
                    raise self._refusal(self._name)
                await asyncio.sleep(LOCK_RETRY_S)
        except DRIVER_ERRORS as error:
            await self._lock.release()
            raise as_ledger_error(error) from error

    async def close(self) -> None:
        await self._lock.release()
        await self._engine.dispose()


@asynccontextmanager
async def exclusive_lock(
    url: str, *, shared: bool = False, timeout_s: float = LOCK_TIMEOUT_S
) -> AsyncIterator[ExclusiveLock]:
    """Keep other processes from a database until the block ends, or this process does.

    Args:
        url: Of the database.
        shared: The queue is in Redis: only processes with a queue in memory are kept out. An SQLite file belongs to
            one process all the same.
        timeout_s: How long to wait for another process to let go.

    Raises:
        SettingsError: Another process has it.
        LedgerError: The database cannot be reached.
    """
    parsed = parse(url)
    if is_sqlite(parsed):
        name = str(parsed.database)
        try:
            with locked_file(Path(name)) as file:
                file.warn_of_links()
                await asyncio.to_thread(recover, file)
                yield SqliteExclusiveLock(file)
        except FileInUse as error:
            raise _in_use(name, process=error.process) from None
        return
    engine = reading_engine(parsed, query_timeout_s=LOCK_QUERY_TIMEOUT_S)
    lock = PostgresExclusiveLock(engine, str(parsed.database), timeout_s, shared=shared)
    try:
        await lock.take()
        yield lock
    finally:
        await lock.close()


@asynccontextmanager
async def alone_on_file(url: str) -> AsyncIterator[None]:
    """Keep other processes from an SQLite file, for a command that writes to it; PostgreSQL is written beside them.

    Raises as ``exclusive_lock`` does.
    """
    if not is_sqlite(parse(url)):
        yield
        return
    async with exclusive_lock(url):
        yield


def _in_use(name: str, *, process: int | None = None) -> SettingsError:
    of_process = "" if process is None else f" (process {process})"
    return SettingsError(
        f"another tempogram uses the database {name}{of_process}, and with a queue in memory the two would send twice "
        "as fast as allowed; stop it first, or set DATABASE_URL or DATA_DIR to another database"
    )


def _memory_queue_in_use(name: str) -> SettingsError:
    return SettingsError(
        f"a tempogram with its queue in memory uses the database {name}, and beside a queue in Redis it would send "
        "twice as fast as allowed; stop it first, or restart it with this REDIS_URL"
    )
