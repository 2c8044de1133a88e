"""A store of tasks in memory, which passes the same contract as the database's."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports.task_store import HISTORY, RunRecord, Step, TaskRow, applied

AHEAD_MS = 1_000


class MemoryTaskStore:
    """See ``TaskStore``. ``is_away``: the database refuses."""

    def __init__(self, now_ms: Callable[[], int] | None = None) -> None:
        self.table: dict[str, TaskRow] = {}
        self.runs: dict[str, list[RunRecord]] = defaultdict(list)
        self.is_away = False
        self.steps = 0
        self.looks = 0
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)

    async def declare(self, rows: Sequence[TaskRow]) -> list[TaskRow]:
        self._ask()
        return [self.table.setdefault(row.name, row) for row in rows]

    async def now_ms(self) -> int:
        self._ask()
        return self._now_ms()

    async def step(self, step: Step) -> bool:
        self._ask()
        self.steps += 1
        row = self.table.get(step.name)
        if row is None or not self._holds(step, row):
            return False
        self.table[step.name] = applied(step, row)
        if "changed_at_ms" in step.sets:
            self.table[step.name] = replace(self.table[step.name], changed_at_ms=self._now_ms())
        if step.record is not None:
            runs = self.runs[step.name]
            runs.append(step.record)
            del runs[:-HISTORY]
        return True

    async def keep(self, process: str, until_ms: int) -> frozenset[str]:
        self._ask()
        kept = [row for row in self.table.values() if row.run_by == process and row.run_id]
        for row in kept:
            self.table[row.name] = replace(row, run_until_ms=until_ms)
        return frozenset(row.run_id for row in kept)

    async def overdue(self, before_ms: int, now_ms: int, *, limit: int) -> list[TaskRow]:
        self._ask()
        self.looks += 1
        return [row for row in self.table.values() if _is_overdue(row, before_ms, now_ms)][:limit]

    async def changed_within(self, ms: int) -> list[TaskRow]:
        self._ask()
        since_ms = self._now_ms() - ms
        return [row for row in self.table.values() if row.changed_at_ms >= max(1, since_ms)]

    async def rows(self) -> list[TaskRow]:
        self._ask()
        return [self.table[name] for name in sorted(self.table)]

    async def row(self, name: str) -> TaskRow | None:
        self._ask()
        return self.table.get(name)

    async def mark_declared(self, names: Collection[str]) -> None:
        self._ask()
        for name, row in self.table.items():
            self.table[name] = replace(row, is_declared=name in names)

    async def forget(self, name: str) -> bool:
        self._ask()
        row = self.table.get(name)
        if row is None or row.is_declared:
            return False
        del self.table[name]
        self.runs.pop(name, None)
        return True

    async def history(self, name: str) -> list[RunRecord]:
        self._ask()
        return self.runs[name][::-1]

    def _ask(self) -> None:
        if self.is_away:
            raise LedgerError("the database is away")

    def _holds(self, step: Step, row: TaskRow) -> bool:
        if step.due_below_ms is not None:
            is_ahead = step.due_below_ms > self._now_ms() + AHEAD_MS
            if is_ahead or row.due_at_ms >= step.due_below_ms:
                return False
        if step.lost_by_ms is not None and row.run_until_ms > step.lost_by_ms:
            return False
        return step.run_id in {None, row.run_id} and step.version in {None, row.version}


def _is_overdue(row: TaskRow, before_ms: int, now_ms: int) -> bool:
    is_over = row.run_until_ms < now_ms
    if not row.is_declared or (row.run_id and not is_over):
        return False
    is_late = not row.is_paused and 0 < row.next_due_ms < before_ms
    is_asked = row.due_at_ms < row.run_at_ms < before_ms
    return is_late or is_asked or bool(row.run_id)
