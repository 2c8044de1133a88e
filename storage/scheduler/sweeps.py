"""How far each sweep is, so that it goes on where it was."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import Connection, delete, select

from tempogram.engine.scheduler.sweep import SweepRow
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import sweeps

KEPT_MS = 90 * 24 * 3_600_000
"""How long it is known that a sweep has ended; the end of another one deletes it then. untuned: rounds have names of
their own, and the table is read as a whole for it."""


class SqlSweeps:
    """See ``engine.scheduler.sweep.SweepStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sweep(self, name: str) -> SweepRow | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(sweeps).where(sweeps.c.name == name))).first()
        return None if row is None else SweepRow(**row._mapping)  # noqa: SLF001 - its public name

    async def note(self, row: SweepRow) -> None:
        def write(connection: Connection) -> None:
            insert = insert_by(sweeps, connection).values(**asdict(row))
            changed = {name: insert.excluded[name] for name in ("done", "last", "ended_ms")}
            connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=changed))
            if row.ended_ms:
                is_old = sweeps.c.ended_ms > 0, sweeps.c.ended_ms < row.ended_ms - KEPT_MS
                connection.execute(delete(sweeps).where(*is_old))

        await self._database.write_alone(write)
