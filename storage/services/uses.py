"""What of long windows is used, so that a restart does not give a budget anew."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from tempogram.storage.database.database import Database
from tempogram.storage.database.models import call_uses


class SqlCallUses:
    """See ``engine.ports.call_uses.CallUses``.

    A use is a row of its own; two at the same time are added up when they are read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, uses: Sequence[tuple[str, int, int]]) -> None:
        await self._database.write(_add, uses)

    async def since(self, limiter: str, at_ms: int) -> Sequence[tuple[int, int]]:
        query = (
            select(call_uses.c.at_ms, func.sum(call_uses.c.units))
            .where(call_uses.c.limiter == limiter, call_uses.c.at_ms >= at_ms)
            .group_by(call_uses.c.at_ms)
            .order_by(call_uses.c.at_ms)
        )
        async with self._database.reading() as connection:
            return [(row[0], int(row[1])) for row in await connection.execute(query)]


def _add(connection: Connection, uses: Sequence[tuple[str, int, int]]) -> Sequence[None]:
    rows = [{"limiter": limiter, "at_ms": at_ms, "units": units} for limiter, at_ms, units in uses]
    connection.execute(call_uses.insert(), rows)
    return [None] * len(uses)
