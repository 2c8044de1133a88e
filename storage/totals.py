"""Sums over all processes; see ``Totals``."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select

from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import insert_by
from tempogram.storage.database.models import totals


class SqlTotals:
    """See ``Totals``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, counts: Mapping[str, int]) -> None:
        def write(connection: Connection) -> None:
            rows = [
                {"name": name, "value": counts[name]} for name in sorted(counts)
            ]  # or two would wait for each other
            more = insert_by(totals, connection).values(rows)
            value = totals.c.value + more.excluded.value
            connection.execute(more.on_conflict_do_update(index_elements=[totals.c.name], set_={"value": value}))

        if counts:
            await self._database.write_alone(write)

    async def read(self) -> Mapping[str, int]:
        async with self._database.reading() as connection:
            return {row.name: row.value for row in await connection.execute(select(totals))}
