"""Runs tasks at their time: each due time once, in one process of all.

1. A heap has when each task is to be looked at. ``decisions`` says what is to be done then.
2. A run begins with a step of the task's row that can be made once for each due time: the row is the fence. Which
   process leads only decides which one tries first; the others take up what is overdue.
3. While a run is under way its process moves its end in the row. One that is not heard of any more is lost.
4. When a run has ended, its row says what came of it, and when the task is due next.

A task whose row, cron or function cannot be read is passed over; the others know nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import structlog

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import LedgerError
from tempogram.engine.observability.task_metrics import TaskMetrics
from tempogram.engine.ports.task_store import Step, TaskRow, TaskStore
from tempogram.engine.scheduler.agenda import Agenda
from tempogram.engine.scheduler.decisions import Begin, Going, PassOver, Wait, decide, wakes_at_ms
from tempogram.engine.scheduler.entry import Entry
from tempogram.engine.scheduler.known_rows import RETRY_MS, KnownRows
from tempogram.engine.scheduler.lease_renewal import RUN_LEASE_MS, LeaseRenewal
from tempogram.engine.scheduler.runner import IsShort, Runner, until_written
from tempogram.engine.scheduler.shared_clock import SharedClock
from tempogram.engine.scheduler.task import Overrun, Task
from tempogram.engine.scheduler.times import stored

log = structlog.get_logger()

FOLLOW_S = 2.0
"""Between two looks for what was changed by hand, or is overdue."""

FOLLOWED_MS = 10_000
"""How far back changes are looked for: one was being written, and a look may have been missed."""

OVERDUE_MS = 3_000
"""How late a task must be for any process to try it. untuned: a leader that is killed is replaced within it."""

STAND_IN_MS = 30_000
"""How long a process that had to begin an overdue run looks oftener, as the leader may be frozen: it keeps its lead for
as long as its connection is open."""

STAND_IN_S, STOOD_IN_MS = 0.5, 500
"""Between two of these looks, and how late a task must be for it."""

OVERDUE_MAX = 1_000
"""In one look. The next one finds those that are left over."""

BROKEN_MS = 60_000
"""After something that is wrong with a task itself."""

WRITES_MAX = 64
"""Steps that are made at once. After an outage thousands of tasks are due together, and share the database with all
that is sent: that waits for no more than these. Measured: with 32, 10,000 runs need twice
as many commits in PostgreSQL; with 128 others wait longer."""


class Scheduler:
    """See the module.

    Args:
        process: A name that no other process has, nor had.
        is_short: Tells whether what a task uses is short now; for intervals that may be stretched.
        metrics: Counts the runs of this process.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        store: TaskStore,
        *,
        process: str,
        clock: Clock,
        is_short: IsShort | None = None,
        metrics: TaskMetrics | None = None,
    ) -> None:
        self._entries = {task.name: Entry(task) for task in tasks}
        self._store = store
        self._process = process
        self._clock = SharedClock(clock)
        self._writes = asyncio.Semaphore(WRITES_MAX)
        self._agenda = Agenda(self._clock)
        self._rows = KnownRows(store, self._agenda, self._clock)
        self._runner = Runner(
            self._entries,
            self._rows,
            self._writes,
            clock=self._clock,
            is_short=is_short,
            metrics=metrics or TaskMetrics(),
            ended=self._attend,
        )
        self._renewal = LeaseRenewal(
            lambda until_ms: store.keep(process, until_ms),
            lambda: [entry.run for entry in self._entries.values() if entry.run is not None],
            clock=self._clock,
        )
        self._is_declared = asyncio.Event()
        self._is_leading = False
        self._is_stopping = False
        self._started_ms = 0
        self._stands_in_until_ms = 0

    @property
    def tasks(self) -> Mapping[str, Task]:
        return {name: entry.task for name, entry in self._entries.items()}

    async def run(self) -> None:
        """Run tasks until this is cancelled; a run that is under way then is given up for another process."""
        await until_written(self._read_clock)
        self._started_ms = self._clock()
        await until_written(self._declare)
        self._is_declared.set()
        with self._runner.watching():
            try:
                async with asyncio.TaskGroup() as group:
                    for loop in (self._look(), self._follow(), self._renewal.run()):
                        group.create_task(loop)
            finally:
                await self._runner.give_up()

    async def stop(self) -> None:
        """Begin no run any more, and wait until those that are under way have ended."""
        self._is_stopping = True
        while self._runner.jobs:
            await asyncio.wait(tuple(self._runner.jobs))

    async def lead(self) -> None:
        """Be the process that tries each task first, until this is cancelled."""
        await self._is_declared.wait()
        self._is_leading = True
        try:
            await until_written(self._begin_to_lead)
            await asyncio.Event().wait()
        finally:
            self._is_leading = False

    async def _begin_to_lead(self) -> None:
        await self._store.mark_declared(self._entries.keys())
        for row in await self._store.rows():
            if (entry := self._entries.get(row.name)) is None:
                continue
            self._rows.take(entry, row)
            await self._rows.follow_declaration(entry)
            if entry.task.at_start and row.run_since_ms < self._started_ms and not row.is_paused:
                at_ms = max(self._clock(), row.due_at_ms + 1)
                await self._rows.change(entry, Step(name=row.name, sets={"run_at_ms": at_ms}))
            self._agenda.plan(entry)

    async def _declare(self) -> None:
        now_ms = self._clock()
        rows = [row for entry in self._entries.values() if (row := _new_row(entry.task, now_ms)) is not None]
        for row in await self._store.declare(rows):
            entry = self._entries[row.name]
            entry.row = row
            await self._rows.follow_declaration(entry)
            self._agenda.plan(entry)

    async def _read_clock(self) -> None:
        await self._clock.read(self._store.now_ms)

    # The loops

    async def _look(self) -> None:
        """Attend to each task when its time has come."""
        while True:
            for entry in self._agenda.due():
                if self._is_leading or entry.is_ours:
                    await self._attend(entry)
            await self._agenda.wait()

    async def _follow(self) -> None:
        """Take up what was changed by hand, and what another process should have done."""
        pause_s = FOLLOW_S
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._follow_once()
            except LedgerError as error:
                log.debug("tasks_not_followed", reason=str(error))
                pause_s = STAND_IN_S
            else:
                pause_s = STAND_IN_S if self._stands_in else FOLLOW_S

    async def _follow_once(self) -> None:
        await self._read_clock()
        now_ms = self._clock()
        changed = await self._store.changed_within(FOLLOWED_MS)
        late_ms = STOOD_IN_MS if self._stands_in else OVERDUE_MS
        overdue = await self._store.overdue(now_ms - late_ms, now_ms, limit=OVERDUE_MAX)
        for row in changed:
            if (entry := self._entries.get(row.name)) is not None:
                self._rows.take(entry, row)
        for row in overdue:
            if (entry := self._entries.get(row.name)) is not None:
                self._rows.take(entry, row)
                await self._attend(entry)

    @property
    def _stands_in(self) -> bool:
        return self._clock() < self._stands_in_until_ms and not self._is_leading

    # One task

    async def _attend(self, entry: Entry) -> None:
        """Do what is to be done about a task beside all else, as soon as one more step may be made."""
        if entry.is_attended or self._is_stopping or self._clock() < entry.rests_until_ms:
            return
        entry.is_attended = True
        await self._writes.acquire()
        self._runner.spawn(self._attended(entry))

    async def _attended(self, entry: Entry) -> None:
        at_ms: int | None = None
        try:
            if not self._is_stopping:  # it may have waited for others
                at_ms = await self._do_due(entry)
        except LedgerError as error:
            log.warning("task_postponed", task=entry.task.name, reason=str(error))
            at_ms = entry.rests_until_ms = self._clock() + RETRY_MS
        except Exception:
            log.exception("task_not_scheduled", task=entry.task.name)
            at_ms = entry.rests_until_ms = self._clock() + BROKEN_MS
        finally:
            self._writes.release()
            entry.is_attended = False
        if at_ms is not None:
            self._agenda.wake(entry, at_ms)

    async def _do_due(self, entry: Entry) -> int | None:
        """Do what is to be done about a task now; return when to look again, None: as its row says."""
        now_ms = self._clock()
        if entry.run is not None:
            if entry.task.on_overrun is Overrun.CANCEL and now_ms >= (wakes_at_ms(entry.task, entry.row) or now_ms + 1):
                entry.run.cancel("it was due again")
            return None
        if self._runner.begin(entry):
            return None
        decision = decide(
            entry.task,
            entry.row,
            now_ms,
            run_id=entry.run_id,
            process=self._process,
            until_ms=now_ms + RUN_LEASE_MS,
        )
        match decision:
            case Wait(until_ms):
                return until_ms
            case Going(until_ms):
                return until_ms
            case PassOver(step):
                await self._rows.change_or_read(entry, step)
            case Begin(step):
                await self._rows.change_or_read(entry, step)
                if self._runner.begin(entry) and not self._is_leading:
                    self._stands_in_until_ms = now_ms + STAND_IN_MS
        return None


def _new_row(task: Task, now_ms: int) -> TaskRow | None:
    try:
        next_ms = task.times.due_after(now_ms, anchor_ms=now_ms) or 0
    except Exception:
        log.exception("task_not_scheduled", task=task.name)
        return None
    return TaskRow(name=task.name, times=stored(task.times), due_at_ms=now_ms, anchor_ms=now_ms, next_due_ms=next_ms)
