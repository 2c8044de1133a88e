"""The last beat of each loop of each process."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, delete, insert, or_, select

from tempogram.engine.ports.beat_store import LoopBeat
from tempogram.storage.database.database import Database
from tempogram.storage.database.models import loop_beats


class SqlBeats:
    """See ``engine.ports.beat_store.BeatStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(self, process: str, beats: Sequence[LoopBeat], *, alive: Collection[str]) -> None:
        def write(connection: Connection) -> None:
            of = loop_beats.c.process
            connection.execute(delete(loop_beats).where(or_(of == process, of.not_in(alive))))
            if beats:
                connection.execute(insert(loop_beats), [asdict(beat) for beat in beats])

        await self._database.write_alone(write)

    async def beats(self) -> list[LoopBeat]:
        query = select(loop_beats).order_by(loop_beats.c.loop, loop_beats.c.process)
        async with self._database.reading() as connection:
            return [LoopBeat(**row._mapping) for row in await connection.execute(query)]  # noqa: SLF001 - its public name
