"""The rows of tasks, read and changed; a step of one is the fence that lets each run begin once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, or_, select, update

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports.task_store import RunRecord, RunResult, Step, TaskRow
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import POSTGRES_NOW_MS, insert_by, statement_now_ms
from tempogram.storage.database.models import task_runs, tasks
from tempogram.storage.scheduler import steps

PAGE = 1_000
"""Rows that are read at once: making them takes 25 ms, in which nothing else is done."""

NAMES_MAX = 500
"""In one statement."""

_NAMES = tuple(each.name for each in fields(TaskRow))
_COLUMNS = tuple(tasks.c[name] for name in _NAMES)
_RUN_COLUMNS = tuple(task_runs.c[each.name] for each in fields(RunRecord))


class SqlTaskStore:
    """See ``engine.ports.task_store.TaskStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def declare(self, rows: Sequence[TaskRow]) -> list[TaskRow]:
        for start in range(0, len(rows), NAMES_MAX):
            await self._database.write(_add, rows[start : start + NAMES_MAX])
        known = {row.name: row for row in await self._named([row.name for row in rows])}
        if len(known) < len(rows):
            raise LedgerError("a task was deleted while it was declared")
        return [known[row.name] for row in rows]

    async def now_ms(self) -> int:
        if self._database.dialect == "sqlite":
            return time.time_ns() // 1_000_000
        async with self._database.reading() as connection:
            return int((await connection.execute(select(POSTGRES_NOW_MS))).scalar_one())

    async def step(self, step: Step) -> bool:
        return (await self._database.write(steps.make, [step], patient=True))[0]

    async def keep(self, process: str, until_ms: int) -> frozenset[str]:
        def write(connection: Connection) -> frozenset[str]:
            moved = update(tasks).where(tasks.c.run_by == process, tasks.c.run_id != "").values(run_until_ms=until_ms)
            return frozenset(connection.execute(moved.returning(tasks.c.run_id)).scalars())

        return await self._database.write_alone(write)

    async def overdue(self, before_ms: int, now_ms: int, *, limit: int) -> list[TaskRow]:
        is_late = and_(~tasks.c.is_paused, tasks.c.next_due_ms > 0, tasks.c.next_due_ms < before_ms)
        is_asked = and_(tasks.c.run_at_ms > tasks.c.due_at_ms, tasks.c.run_at_ms < before_ms)
        is_free = or_(tasks.c.run_id == "", tasks.c.run_until_ms < now_ms)
        is_lost = and_(tasks.c.run_id != "", tasks.c.run_until_ms < now_ms)
        due = and_(is_free, or_(is_late, is_asked))
        return await self._read(select(*_COLUMNS).where(tasks.c.is_declared, or_(due, is_lost)).limit(limit))

    async def changed_within(self, ms: int) -> list[TaskRow]:
        async with self._database.reading() as connection:
            now_ms = statement_now_ms(connection.dialect.name)
            query = select(*_COLUMNS).where(tasks.c.changed_at_ms >= now_ms - ms)
            return [TaskRow(**row._mapping) for row in await connection.execute(query)]  # noqa: SLF001 - its public name

    async def rows(self) -> list[TaskRow]:
        found: list[TaskRow] = []
        page = select(*_COLUMNS).order_by(tasks.c.name).limit(PAGE)
        while True:
            read = await self._read(page.where(tasks.c.name > found[-1].name) if found else page)
            found += read
            if len(read) < PAGE:
                return found

    async def row(self, name: str) -> TaskRow | None:
        return next(iter(await self._read(select(*_COLUMNS).where(tasks.c.name == name))), None)

    async def mark_declared(self, names: Collection[str]) -> None:
        def write(connection: Connection) -> None:
            known = connection.execute(select(tasks.c.name, tasks.c.is_declared))
            wrong = [name for name, is_declared in known if is_declared != (name in names)]
            for start in range(0, len(wrong), NAMES_MAX):
                of = tasks.c.name.in_(wrong[start : start + NAMES_MAX])
                connection.execute(update(tasks).where(of).values(is_declared=~tasks.c.is_declared))

        await self._database.write_alone(write)

    async def forget(self, name: str) -> bool:
        def write(connection: Connection) -> bool:
            gone = delete(tasks).where(tasks.c.name == name, ~tasks.c.is_declared)
            is_gone = connection.execute(gone).rowcount == 1
            if is_gone:
                connection.execute(delete(task_runs).where(task_runs.c.name == name))
            return is_gone

        return await self._database.write_alone(write)

    async def history(self, name: str) -> list[RunRecord]:
        query = select(*_RUN_COLUMNS).where(task_runs.c.name == name).order_by(task_runs.c.number.desc())
        async with self._database.reading() as connection:
            return [_record(row) for row in await connection.execute(query)]

    async def _named(self, names: Sequence[str]) -> list[TaskRow]:
        found: list[TaskRow] = []
        for start in range(0, len(names), NAMES_MAX):
            found += await self._read(select(*_COLUMNS).where(tasks.c.name.in_(names[start : start + NAMES_MAX])))
        return found

    async def _read(self, query: Select[Any]) -> list[TaskRow]:
        found: list[TaskRow] = []
        async with self._database.reading() as connection:
            result = await connection.execute(query)
            for rows in result.partitions(NAMES_MAX):
                found += [TaskRow(**dict(zip(_NAMES, row, strict=True))) for row in rows]
                await asyncio.sleep(0)  # thousands take a while
        return found


def _add(connection: Connection, rows: Sequence[TaskRow]) -> Sequence[None]:
    connection.execute(insert_by(tasks, connection).on_conflict_do_nothing(), [asdict(row) for row in rows])
    return [None] * len(rows)


def _record(row: Row[Any]) -> RunRecord:
    values = dict(row._mapping)  # noqa: SLF001 - its public name
    return RunRecord(**values | {"result": RunResult(values["result"]) if values["result"] else None})
