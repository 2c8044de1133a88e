"""Stores the epoch in one row."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Row, select, text, update

from tempogram.engine.ports.epochs import NO_SCHEMA, Epoch, LeaseSource
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import epochs
from tempogram.storage.processes.held_locks import HELD, HeldLocks

FIRST = Epoch(0, LeaseSource.REDIS, NO_SCHEMA)
"""While there is no row."""

ROW = 1

CHANNEL = "tempogram_epoch"
"""Where PostgreSQL tells all processes that an epoch begins, when it is committed, or that the locks have changed."""

CURRENT = text(f"SELECT epochs.*, held.ids, held.pids FROM ({HELD}) AS held LEFT JOIN epochs ON epochs.id = :row")  # noqa: S608 - put together from constants


class Announcements:
    """What this process hears of the epochs that others begin. Without a connection that listens, nothing."""

    def __init__(self) -> None:
        self._heard = asyncio.Event()
        self.are_heard = False

    def begin(self) -> None:
        """Note that a connection listens from now on: what came before was missed."""
        self.are_heard = True
        self._heard.set()

    def end(self, *_: object) -> None:
        """Note that none does any more."""
        self.are_heard = False
        self._heard.set()

    def hear(self, *_: object) -> None:
        """Note that an epoch begins, or that the locks have changed."""
        self._heard.set()

    async def next(self, *, within_s: float) -> bool:
        """See ``Epochs``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._heard.wait()
        was_heard = self._heard.is_set()
        self._heard.clear()
        return was_heard


class SqlEpochs:
    """See ``Epochs``. One object per process: ``is_own`` tells whether this one began the epoch.

    Args:
        database: Where the epoch is written.
        readers: Connections for nothing but reading the epoch: a process that cannot read it for the time of a lease
            stops sending. None: those of the database.
        announcements: Of the other processes; None: none are heard.
        held_locks: Notes all locks that are held, as they are read with the epoch.
    """

    def __init__(
        self,
        database: Database,
        *,
        readers: Database | None = None,
        announcements: Announcements | None = None,
        held_locks: HeldLocks | None = None,
    ) -> None:
        self._announcements = announcements or Announcements()
        self._held_locks = held_locks
        self._database = database
        self._readers = readers or database
        self._name = secrets.token_hex(8)

    async def current(self) -> Epoch:
        row = await self._row()
        if row is None or row.number is None:
            return FIRST
        is_own = row.begun_by == self._name
        return Epoch(row.number, LeaseSource(row.source), row.form, is_own=is_own, bypassed=row.bypassed)

    async def _row(self) -> Row[Any] | None:
        async with self._readers.reading() as connection:
            if self._readers.dialect == "sqlite":
                return (await connection.execute(select(epochs))).one_or_none()
            row = (await connection.execute(CURRENT, {"row": ROW})).one()
        if self._held_locks is not None:
            self._held_locks.note(row)
        return row

    async def advance(self, after: Epoch, source: LeaseSource, *, schema: int) -> Epoch:
        state = {"number": after.number + 1, "source": source.value, "form": schema, "begun_by": self._name}
        await self._database.write_alone(lambda connection: _advance(connection, after, state))
        return await self.current()

    @property
    def are_announced(self) -> bool:
        return self._announcements.are_heard

    async def next(self, *, within_s: float) -> bool:
        return await self._announcements.next(within_s=within_s)

    async def bypass(self, epoch: Epoch) -> None:
        await self._database.write_alone(lambda connection: _bypass(connection, epoch))


def _advance(connection: Connection, after: Epoch, state: Mapping[str, int | str]) -> None:
    if after.number == FIRST.number:
        connection.execute(insert_by(epochs, connection).values(id=ROW, **state).on_conflict_do_nothing())
    else:
        connection.execute(update(epochs).where(epochs.c.number == after.number).values(state))
    _announce(connection)


def _announce(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})


def _bypass(connection: Connection, epoch: Epoch) -> None:
    counted = {"bypassed": epochs.c.bypassed + 1}
    connection.execute(update(epochs).where(epochs.c.number == epoch.number).values(counted))
    _announce(connection)
