"""Lets one process at a time keep its queue in memory: two would each think that the limits are theirs alone."""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.errors import SettingsError
from storage.database import is_sqlite, parse, reading_engine
from storage.refusals import DRIVER_ERRORS, as_ledger_error

LOCK_ID = 0x7E3906  # any number, the same in every version

PATIENCE_S = 5.0
"""PostgreSQL needs a moment to notice that a process which held the lock was killed. A guess."""


ASK_AGAIN_S = 0.1


@asynccontextmanager
async def sole_use(url: str, *, patience_s: float = PATIENCE_S) -> AsyncIterator[None]:
    """Keep other processes from these books until the block ends, or this process does.

    Raises:
        SettingsError: Another process has them.
        LedgerError: The database cannot be reached.
    """
    parsed = parse(url)
    if is_sqlite(parsed):
        with _locked_file(str(parsed.database)):
            yield
    else:
        async with _locked_row(parsed, patience_s):
            yield


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


@asynccontextmanager
async def _locked_row(url: URL, patience_s: float) -> AsyncIterator[None]:
    engine = reading_engine(url)
    try:
        async with aclosing(await _connected(engine)) as connection:
            await _lock_row(connection, str(url.database), patience_s)
            yield
    finally:
        await engine.dispose()


async def _connected(engine: AsyncEngine) -> AsyncConnection:
    try:
        return await engine.connect().start()
    except DRIVER_ERRORS as error:
        raise as_ledger_error(error) from error


async def _lock_row(connection: AsyncConnection, name: str, patience_s: float) -> None:
    until_s = time.monotonic() + patience_s
    while not (await connection.execute(text("SELECT pg_try_advisory_lock(:id)"), {"id": LOCK_ID})).scalar():
        if time.monotonic() > until_s:
            raise _taken(name)
        await asyncio.sleep(ASK_AGAIN_S)
    await connection.commit()  # the lock is the session's; an open transaction would hold up vacuuming


def _taken(name: str) -> SettingsError:
    return SettingsError(
        f"another tempogram runs on the books {name}, and two queues in memory would send twice as fast as allowed; "
        "end it first, or set DATABASE_URL or DATA_DIR to other books"
    )
