"""The epoch, kept in one row."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, select, update

from engine.ports.epochs import Epoch, Source
from storage.database import Database
from storage.models import epochs
from storage.upsert import insert_by

FIRST = Epoch(0, Source.REDIS)
"""While there is no row."""

ROW = 1


class SqlEpochs:
    """See ``Epochs``. One object for each process: what it began is the process's own.

    Args:
        database: Where the epoch is written.
        readers: Lend connections that no other read occupies: who cannot read the epoch for the time of a lease stops
            sending. None: those of the database.
    """

    def __init__(self, database: Database, *, readers: Database | None = None) -> None:
        self._database = database
        self._readers = readers or database
        self._name = secrets.token_hex(8)

    async def current(self) -> Epoch:
        async with self._readers.reading() as connection:
            row = (await connection.execute(select(epochs))).one_or_none()
        return FIRST if row is None else Epoch(row.number, Source(row.source), is_own=row.begun_by == self._name)

    async def advance(self, after: Epoch, source: Source) -> Epoch:
        await self._database.write_alone(lambda connection: _advance(connection, after, source, self._name))
        return await self.current()


def _advance(connection: Connection, after: Epoch, source: Source, begun_by: str) -> None:
    state = {"number": after.number + 1, "source": source.value, "begun_by": begun_by}
    if after.number == FIRST.number:
        connection.execute(insert_by(epochs, connection).values(id=ROW, **state).on_conflict_do_nothing())
    else:
        connection.execute(update(epochs).where(epochs.c.number == after.number).values(state))
