"""One open database: written through ``GroupCommit``, read through a pool of connections."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Self, TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tempogram.storage.database.driver_errors import DRIVER_ERRORS, as_ledger_error
from tempogram.storage.database.engines import QUERY_TIMEOUT_S, parse, read_only, reading_engine
from tempogram.storage.database.group_commit import GroupCommit, Verb
from tempogram.storage.database.writers import ReadOnlyWriter, writer_of

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Database:
    """Open it with ``Database.open``; every repository is built from one."""

    def __init__(self, readers: AsyncEngine, commits: GroupCommit) -> None:
        self._readers = readers
        self._commits = commits

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect, and bring the tables up to date.

        Args:
            url: ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or ``postgresql://user:password@host/name``.

        Raises:
            SettingsError: The URL is not usable.
            LedgerError: The database cannot be reached.
        """
        from tempogram.storage.migrations import migrate  # Alembic takes a while to import

        await migrate(url)
        parsed = parse(url)
        return cls(reading_engine(parsed), GroupCommit(writer_of(parsed)))

    @classmethod
    def open_read_only(cls, url: str, *, query_timeout_s: float = QUERY_TIMEOUT_S) -> Self:
        """Connect to read, without migrating; every write raises ``LedgerError``.

        Raises:
            SettingsError: The URL is not usable.
        """
        return cls(
            reading_engine(read_only(parse(url)), query_timeout_s=query_timeout_s), GroupCommit(ReadOnlyWriter())
        )

    @property
    def dialect(self) -> str:
        """Return ``sqlite`` or ``postgresql``, without a query."""
        return self._readers.dialect.name

    @property
    def transactions(self) -> int:
        """How many were committed; what was written, divided by it, tells how well callers are grouped."""
        return self._commits.transactions

    async def write(
        self, verb: Verb[Item, Answer], items: Sequence[Item], *, patient: bool = False
    ) -> Sequence[Answer]:
        """See ``GroupCommit.write``."""
        return await self._commits.write(verb, items, patient=patient)

    async def write_alone(self, work: Callable[[Connection], Answer]) -> Answer:
        """See ``GroupCommit.alone``."""
        return await self._commits.alone(work)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection to read from.

        Raises:
            LedgerError: The database cannot be reached, or refused.
        """
        try:
            async with self._readers.connect() as connection:
                yield connection
        except DRIVER_ERRORS as error:
            raise as_ledger_error(error) from error

    async def close(self) -> None:
        """Write what waits, then disconnect."""
        await self._commits.close()
        await self._readers.dispose()
