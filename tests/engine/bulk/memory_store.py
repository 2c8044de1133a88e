"""Where it is noted how far a bulk is, in memory; it can die with its process, and be away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from tempogram.engine.bulk.journal import Mark
from tempogram.engine.model.errors import LedgerAway
from tempogram.engine.scheduler.sweep import SweepRow


class MemoryBulkStore:
    """See ``BulkStore``.

    Attributes:
        is_dead: What is written since is lost, as after a kill.
        is_away: Each call is refused.
        notes: How many were written.
    """

    def __init__(self, *, write_s: float = 0.002) -> None:
        self.rows: dict[str, SweepRow] = {}
        self.kept_marks: dict[str, dict[int, Mark]] = {}
        self.is_dead = self.is_away = False
        self.notes = 0
        self._write_s = write_s

    async def take(self, name: str, run: str, now_ms: int) -> SweepRow:
        await self._work()
        row = self.rows.get(name) or SweepRow(name=name, began_ms=now_ms, run=run)
        self.rows[name] = replace(row, run=run) if row.run else row
        return self.rows[name]

    async def note_bulk(self, row: SweepRow, marks: Sequence[Mark]) -> bool:
        await self._work()
        if self.rows[row.name].run != row.run:
            return False
        if not self.is_dead:
            self.notes += 1
            self.rows[row.name] = row
            self.kept_marks.setdefault(row.name, {}).update({mark.index: mark for mark in marks})
        return True

    async def marks(self, name: str, *, since: int, limit: int) -> Sequence[Mark]:
        await self._work()
        kept = self.kept_marks.get(name, {})
        return [kept[index] for index in sorted(kept) if index >= since][:limit]

    async def _work(self) -> None:
        await asyncio.sleep(self._write_s)
        if self.is_away:
            raise LedgerAway("the database is away")
