"""How far each sweep and each named bulk is, so that it goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from tempogram.engine.bulk.journal import Mark
from tempogram.engine.scheduler.sweep import SweepRow
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import bulk_marks, sweeps

KEPT_MS = 90 * 24 * 3_600_000
"""How long it is known that one has ended; the end of another one deletes it then. untuned: rounds have names of
their own, and the table is read as a whole for it."""

CHANGING = ("done", "last", "ended_ms", "under_way", "items_crc")


class SqlSweeps:
    """See ``engine.scheduler.sweep.SweepStore`` and ``engine.bulk.journal.BulkStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sweep(self, name: str) -> SweepRow | None:
        async with self._database.reading() as connection:
            row = (await connection.execute(select(sweeps).where(sweeps.c.name == name))).first()
        return None if row is None else _read(row)

    async def note(self, row: SweepRow) -> None:
        await self.note_bulk(row, ())

    async def take(self, name: str, run: str, now_ms: int) -> SweepRow:
        fresh = SweepRow(name=name, began_ms=now_ms, run=run)

        def write(connection: Connection) -> SweepRow:
            insert = insert_by(sweeps, connection).values(**_columns(fresh))
            taken = insert.on_conflict_do_update(index_elements=["name"], set_={"run": run}, where=sweeps.c.run != "")
            connection.execute(taken)
            return _read(connection.execute(select(sweeps).where(sweeps.c.name == name)).one())

        return await self._database.write_alone(write)

    async def note_bulk(self, row: SweepRow, marks: Sequence[Mark]) -> bool:
        def write(connection: Connection) -> bool:
            insert = insert_by(sweeps, connection).values(**_columns(row))
            changed = {name: insert.excluded[name] for name in CHANGING}
            is_its = sweeps.c.run == row.run
            noted = insert.on_conflict_do_update(index_elements=["name"], set_=changed, where=is_its)
            if not connection.execute(noted).rowcount:
                return False
            if marks:
                _mark(connection, row.name, marks)
            if row.ended_ms:
                _delete_old(connection, row.ended_ms - KEPT_MS)
            return True

        return await self._database.write_alone(write)

    async def marks(self, name: str, *, since: int, limit: int) -> Sequence[Mark]:
        is_wanted = bulk_marks.c.name == name, bulk_marks.c.index >= since
        query = (
            select(*(bulk_marks.c[field.name] for field in fields(Mark)))
            .where(*is_wanted)
            .order_by(bulk_marks.c.index)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            return [Mark(**row._mapping) for row in await connection.execute(query)]  # noqa: SLF001 - its public name


def _mark(connection: Connection, name: str, marks: Sequence[Mark]) -> None:
    insert = insert_by(bulk_marks, connection)
    changed = {each: insert.excluded[each] for each in ("was_under_way", "is_given_up", "error")}
    marked = insert.on_conflict_do_update(index_elements=["name", "index"], set_=changed)
    connection.execute(marked, [{"name": name, **asdict(mark)} for mark in marks])


def _delete_old(connection: Connection, before_ms: int) -> None:
    is_old = sweeps.c.ended_ms > 0, sweeps.c.ended_ms < before_ms
    connection.execute(delete(bulk_marks).where(bulk_marks.c.name.in_(select(sweeps.c.name).where(*is_old))))
    connection.execute(delete(sweeps).where(*is_old))


def _columns(row: SweepRow) -> dict[str, Any]:
    return asdict(row) | {"under_way": " ".join(map(str, row.under_way))}


def _read(row: Row[Any]) -> SweepRow:
    columns = dict(row._mapping)  # noqa: SLF001 - its public name
    return SweepRow(**columns | {"under_way": tuple(map(int, columns["under_way"].split()))})
