"""Lets one process at a time keep its queue in memory: two would each think that the limits are theirs alone."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.errors import LedgerError, SettingsError
from storage.database import is_sqlite, parse, reading_engine
from storage.refusals import DRIVER_ERRORS, as_ledger_error

log = structlog.get_logger()

LOCK_ID = 0x7E3906  # any number, the same in every version

PATIENCE_S = 5.0
"""PostgreSQL needs a moment to notice that a process which held the lock was killed. A guess."""


ASK_AGAIN_S = 0.1

ANSWER_WITHIN_S = 3.0
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

    def __init__(self, engine: AsyncEngine, name: str, patience_s: float) -> None:
        self._engine = engine
        self._name = name
        self._patience_s = patience_s
        self._connection: AsyncConnection | None = None

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Make sure of the lock; raises as ``watch`` does. While the database is away, nobody can take it."""
        while not await self._stands():
            log.warning("the lock on the books is lost", books=self._name)
            try:
                await self.take()
            except LedgerError as error:
                log.warning("not taken again yet", error=str(error))
                await asyncio.sleep(LOOK_EVERY_S)

    async def take(self) -> None:
        try:
            self._connection = await self._engine.connect()
            await self._lock(self._connection)
        except DRIVER_ERRORS as error:
            raise as_ledger_error(error) from error

    async def close(self) -> None:
        await _drop(self._connection)
        await self._engine.dispose()

    async def _stands(self) -> bool:
        assert self._connection is not None, "it is taken before it is watched"  # noqa: S101
        try:
            stands = (await self._connection.execute(HAS_LOCK, {"id": LOCK_ID})).scalar()
            await self._connection.commit()
        except DRIVER_ERRORS:
            stands = False
        if not stands:
            await _drop(self._connection)
        return bool(stands)

    async def _lock(self, connection: AsyncConnection) -> None:
        until_s = time.monotonic() + self._patience_s
        while not (await connection.execute(TRY_LOCK, {"id": LOCK_ID})).scalar():
            if time.monotonic() > until_s:
                raise _taken(self._name)
            await asyncio.sleep(ASK_AGAIN_S)
        await connection.commit()  # the lock is the session's; an open transaction would hold up vacuuming


TRY_LOCK = text("SELECT pg_try_advisory_lock(:id)")

HAS_LOCK = text("""
    SELECT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND classid = 0 AND objid = :id AND objsubid = 1
          AND pid = pg_backend_pid() AND granted
    )
""")


@asynccontextmanager
async def sole_use(url: str, *, patience_s: float = PATIENCE_S) -> AsyncIterator[SoleUse]:
    """Keep other processes from these books until the block ends, or this process does.

    Raises:
        SettingsError: Another process has them.
        LedgerError: The database cannot be reached.
    """
    parsed = parse(url)
    if is_sqlite(parsed):
        with _locked_file(str(parsed.database)):
            yield SoleUse()
        return
    use = PostgresSoleUse(reading_engine(parsed, answer_within_s=ANSWER_WITHIN_S), str(parsed.database), patience_s)
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


async def _drop(connection: AsyncConnection | None) -> None:
    """Let go of a connection, and with it of its lock; one that is broken cannot be closed in order."""
    if connection is not None:
        with contextlib.suppress(*DRIVER_ERRORS):
            await connection.invalidate()
            await connection.close()


def _taken(name: str) -> SettingsError:
    return SettingsError(
        f"another tempogram runs on the books {name}, and two queues in memory would send twice as fast as allowed; "
        "end it first, or set DATABASE_URL or DATA_DIR to other books"
    )
