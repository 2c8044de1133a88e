"""The rows of tasks: one statement with a condition is the fence that lets each run begin once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Select,
    Update,
    and_,
    bindparam,
    delete,
    or_,
    select,
    update,
)

from tempogram.engine.ports.task_store import HISTORY, RunRecord, RunResult, Step, TaskRow
from tempogram.storage.database.database import Database
from tempogram.storage.database.dialects import database_now_ms, insert_by, statement_now_ms
from tempogram.storage.database.models import task_runs, tasks

AHEAD_MS = 1_000
"""How far the clock of a process may be ahead of the database's when it begins a run. A clock that was stepped forward
must not use up due times that have not come."""

CHANGED = "changed_at_ms"

PAGE = 1_000
"""Rows that are read at once: making them takes 25 ms, in which nothing else is done."""

NAMES_MAX = 1_000
"""In one statement."""

_COLUMNS = tuple(tasks.c[each.name] for each in fields(TaskRow))
_RUN_COLUMNS = tuple(task_runs.c[each.name] for each in fields(RunRecord))


class SqlTaskStore:
    """See ``engine.ports.task_store.TaskStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def declare(self, rows: Sequence[TaskRow]) -> list[TaskRow]:
        def write(connection: Connection) -> None:
            insert = insert_by(tasks, connection).on_conflict_do_nothing()
            connection.execute(insert, [asdict(row) for row in rows])

        if not rows:
            return []
        await self._database.write_alone(write)
        known = {row.name: row for row in await self._named([row.name for row in rows])}
        return [known[row.name] for row in rows]

    async def step(self, step: Step) -> bool:
        return (await self._database.write(_steps, [step]))[0]

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
        async with self._database.reading() as connection:
            return [TaskRow(**row._mapping) for row in await connection.execute(query)]  # noqa: SLF001 - its public name


def _steps(connection: Connection, steps: Sequence[Step]) -> Sequence[bool]:
    made = [_change(connection, step) for step in steps]
    records = [step.record for step, is_made in zip(steps, made, strict=True) if is_made and step.record is not None]
    for record in records:
        _keep_record(connection, record)
    return made


def _change(connection: Connection, step: Step) -> bool:
    values: dict[str, Any] = {f"to_{name}": value for name, value in step.sets.items() if name != CHANGED}
    values |= {f"by_{name}": value for name, value in step.adds.items()}
    values |= {"of_name": step.name, "due_below": step.due_below_ms, "of_run": step.run_id, "of_version": step.version}
    values["lost_by"] = step.lost_by_ms
    statement = _statement(step, connection)
    return connection.execute(statement, values).rowcount == 1


def _statement(step: Step, connection: Connection) -> Update:
    """Return the same statement for all steps of a kind, so that it is compiled once."""
    is_meant: list[ColumnElement[bool]] = [tasks.c.name == bindparam("of_name")]
    if step.due_below_ms is not None:
        due: BindParameter[int] = bindparam("due_below", type_=tasks.c.due_at_ms.type)
        is_meant += [tasks.c.due_at_ms < due, due <= database_now_ms(connection) + AHEAD_MS]
    if step.run_id is not None:
        is_meant.append(tasks.c.run_id == bindparam("of_run"))
    if step.lost_by_ms is not None:
        is_meant.append(tasks.c.run_until_ms <= bindparam("lost_by"))
    if step.version is not None:
        is_meant.append(tasks.c.version == bindparam("of_version"))
    sets: dict[str, Any] = {name: bindparam(f"to_{name}") for name in step.sets}
    if CHANGED in sets:
        sets[CHANGED] = database_now_ms(connection)
    adds = {name: tasks.c[name] + bindparam(f"by_{name}") for name in step.adds}
    return update(tasks).where(*is_meant).values({**sets, **adds, "version": tasks.c.version + 1})


def _keep_record(connection: Connection, record: RunRecord) -> None:
    values = asdict(record) | {"slot": record.number % HISTORY, "result": record.result.value if record.result else ""}
    insert = insert_by(task_runs, connection)
    newer = {name: insert.excluded[name] for name in values if name not in {"name", "slot"}}
    connection.execute(insert.on_conflict_do_update(index_elements=["name", "slot"], set_=newer), values)


def _record(row: Row[Any]) -> RunRecord:
    values = dict(row._mapping)  # noqa: SLF001 - its public name
    return RunRecord(**values | {"result": RunResult(values["result"]) if values["result"] else None})
