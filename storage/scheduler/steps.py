"""Steps of the rows of tasks: one statement for all steps of a kind, each of which is made or not by itself."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    Connection,
    ScalarSelect,
    literal_column,
    select,
    update,
)
from sqlalchemy.sql import ClauseElement

from tempogram.engine.ports.task_store import HISTORY, RunRecord, Step
from tempogram.storage.database.bulk import Binds, BulkStatement, as_dicts, as_table
from tempogram.storage.database.dialects import POSTGRES_NOW_MS, insert_into
from tempogram.storage.database.models import task_runs, tasks

AHEAD_MS = 1_000
"""How far the clock of a process may be ahead of the database's when it begins a run. A clock that was stepped forward
must not use up due times that have not come."""

AHEAD: ColumnElement[int] = literal_column(str(AHEAD_MS))
ONE: ColumnElement[int] = literal_column("1")

CHANGED = "changed_at_ms"
CONDITIONS = ("due_below_ms", "run_id", "lost_by_ms", "version")
FENCES = frozenset({"due_below_ms", "lost_by_ms"})
"""Conditions of steps that begin a run, or take it for lost."""

KINDS_MAX = 100
"""Whose statements are kept. A scheduler makes some 30: what is set depends on how runs end."""

Made = list[bool]


def make(connection: Connection, steps: Sequence[Step]) -> Made:
    """Make steps, and keep the records of those that were made; return of each whether it was."""
    made = [False] * len(steps)
    for wave in _waves(steps):
        for kind, numbers in _by_kind(connection.dialect.name, steps, wave):
            names = {row[0] for row in _statement(kind).run(connection, [kind.row(steps[at]) for at in numbers])}
            for at in numbers:
                made[at] = steps[at].name in names
        records = [record for at in wave if made[at] and (record := steps[at].record) is not None]
        INSERT_RUNS.run(connection, [_run(record) for record in records])
    return made


@dataclass(frozen=True, slots=True)
class _Kind:
    """What steps have in common that one statement can make.

    Attributes:
        sets: Which columns they set; ``adds``: to which they add; ``conditions``: on which they depend.
    """

    dialect: str
    sets: tuple[str, ...]
    adds: tuple[str, ...]
    conditions: tuple[str, ...]

    @property
    def is_fenced(self) -> bool:
        return not FENCES.isdisjoint(self.conditions)

    @property
    def needs_now(self) -> bool:
        """Whether its rows have the time: SQLite has no clock of its own."""
        return self.dialect == "sqlite" and ("due_below_ms" in self.conditions or CHANGED in self.sets)

    @property
    def columns(self) -> list[Column[Any]]:
        """Return the columns of a row of its statement."""
        named = [Column(f"to_{name}", tasks.c[name].type) for name in self.sets if name != CHANGED]
        named += [Column(f"by_{name}", tasks.c[name].type) for name in self.adds]
        named += [Column(f"of_{name}", _CONDITION_TYPES[name]) for name in self.conditions]
        if self.needs_now:
            named.append(Column("now_ms", tasks.c.due_at_ms.type))
        return [Column("name", tasks.c.name.type), *named]

    def row(self, step: Step) -> tuple[Any, ...]:
        """Return the row of a step of this kind."""
        row = [step.name, *(step.sets[name] for name in self.sets if name != CHANGED)]
        row += [step.adds[name] for name in self.adds]
        row += [getattr(step, name) for name in self.conditions]
        return (*row, time.time_ns() // 1_000_000) if self.needs_now else tuple(row)


_CONDITION_TYPES = {
    "due_below_ms": tasks.c.due_at_ms.type,
    "run_id": tasks.c.run_id.type,
    "lost_by_ms": tasks.c.run_until_ms.type,
    "version": tasks.c.version.type,
}


def _waves(steps: Sequence[Step]) -> list[list[int]]:
    """Split so that no task is twice in one statement, which would make one of its steps; in their order."""
    waves: list[list[int]] = []
    seen: Counter[str] = Counter()
    for at, step in enumerate(steps):
        if seen[step.name] == len(waves):
            waves.append([])
        waves[seen[step.name]].append(at)
        seen[step.name] += 1
    return waves


def _by_kind(dialect: str, steps: Sequence[Step], wave: Sequence[int]) -> Iterator[tuple[_Kind, list[int]]]:
    """Yield kinds with their steps. Those that may wait for a row come first, while this transaction has few rows."""
    kinds: dict[_Kind, list[int]] = defaultdict(list)
    for at in wave:
        step = steps[at]
        conditions = tuple(name for name in CONDITIONS if getattr(step, name) is not None)
        kinds[_Kind(dialect, tuple(step.sets), tuple(step.adds), conditions)].append(at)
    yield from sorted(kinds.items(), key=lambda each: each[0].is_fenced)


@lru_cache(maxsize=KINDS_MAX)
def _statement(kind: _Kind) -> BulkStatement:
    columns = kind.columns

    def build(_dialect: str, rows: Binds) -> ClauseElement:
        given = as_table("given", columns, rows)
        now_ms = given.c.now_ms if kind.needs_now else POSTGRES_NOW_MS
        changes: dict[str, Any] = {name: now_ms if name == CHANGED else given.c[f"to_{name}"] for name in kind.sets}
        changes |= {name: tasks.c[name] + given.c[f"by_{name}"] for name in kind.adds}
        changes["version"] = tasks.c.version + ONE
        return update(tasks).where(*_conditions(kind, given, now_ms)).values(changes).returning(tasks.c.name)

    return BulkStatement(columns, build)


def _conditions(kind: _Kind, given: CTE, now_ms: ColumnElement[int]) -> Iterator[ColumnElement[bool]]:
    yield tasks.c.name == given.c.name
    if kind.is_fenced and kind.dialect != "sqlite":
        yield tasks.c.name == _unlocked(given)
    if "due_below_ms" in kind.conditions:
        yield tasks.c.due_at_ms < given.c.of_due_below_ms
        yield given.c.of_due_below_ms <= now_ms + AHEAD
    if "run_id" in kind.conditions:
        yield tasks.c.run_id == given.c.of_run_id
    if "lost_by_ms" in kind.conditions:
        yield tasks.c.run_until_ms <= given.c.of_lost_by_ms
    if "version" in kind.conditions:
        yield tasks.c.version == given.c.of_version


def _unlocked(given: CTE) -> ScalarSelect[str]:
    """Return the row's name if no other transaction has the row.

    A process that is stopped within one must not keep others waiting, who begin the run after it at the next try.
    """
    row = tasks.alias()
    unlocked = select(row.c.name).where(row.c.name == given.c.name).with_for_update(skip_locked=True)
    return unlocked.correlate(given).scalar_subquery()


def _run(record: RunRecord) -> tuple[Any, ...]:
    kept = {each.name: getattr(record, each.name) for each in fields(record)}
    kept |= {"slot": record.number % HISTORY, "result": record.result.value if record.result else ""}
    return tuple(kept[each.name] for each in task_runs.c)


def _insert_runs(dialect: str, rows: Binds) -> ClauseElement:
    insert = insert_into(task_runs, dialect).values(as_dicts(tuple(task_runs.c), rows))
    newer = {each.name: insert.excluded[each.name] for each in task_runs.c if not each.primary_key}
    return insert.on_conflict_do_update(index_elements=["name", "slot"], set_=newer)


INSERT_RUNS = BulkStatement(tuple(task_runs.c), _insert_runs)
