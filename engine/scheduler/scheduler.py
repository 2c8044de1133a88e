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
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from heapq import heappop, heappush

import structlog

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import EngineError, LedgerError
from tempogram.engine.observability.task_metrics import TaskMetrics
from tempogram.engine.ports.task_store import RunResult, Step, TaskRow, TaskStore, applied
from tempogram.engine.resilience.retry import retry
from tempogram.engine.scheduler.by_hand import at_declared
from tempogram.engine.scheduler.decisions import Begin, Going, PassOver, Wait, decide, jitter_ms, wakes_at_ms
from tempogram.engine.scheduler.endings import abandoned, ending, leftover_ended
from tempogram.engine.scheduler.entry import Entry, new_run_id
from tempogram.engine.scheduler.lease_renewal import RUN_LEASE_MS, LeaseRenewal
from tempogram.engine.scheduler.own_loop import OwnLoop
from tempogram.engine.scheduler.run import Ended, Run, is_async
from tempogram.engine.scheduler.shared_clock import SharedClock
from tempogram.engine.scheduler.task import Overrun, Task
from tempogram.engine.scheduler.times import Every, stored
from tempogram.engine.scheduler.watchdog import Watchdog

log = structlog.get_logger()

LOOK_MS = 1_000
"""The longest sleep: that the time of all has moved is noticed after it."""

FOLLOW_S = 2.0
"""Between two looks for what was changed by hand, or is overdue."""

FOLLOWED_MS = 10_000
"""How far back changes are looked for: one was being written, and a look may have been missed."""

LEADER_MS = 3_000
STANDBY_MS = 6_000
"""How late a task must be for a process that does not lead to try it."""

OVERDUE_MAX = 1_000
"""In one look. The next one finds those that are left over."""

RETRY_MS = 1_000
"""After the database refused."""

BROKEN_MS = 60_000
"""After something that is wrong with a task itself."""

WRITES_MAX = 32
"""Steps that are made at once. After an outage thousands of tasks are due together, and share the database with all
that is sent: that waits for no more than these. untuned: one transaction takes as many in a few milliseconds."""

GIVE_UP_S = 3.0
"""How long giving up the runs of a process that ends may take."""


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
        is_short: Callable[[Task], Awaitable[bool]] | None = None,
        metrics: TaskMetrics | None = None,
    ) -> None:
        self._entries = {task.name: Entry(task) for task in tasks}
        self._store = store
        self._process = process
        self._clock = SharedClock(clock)
        self._is_short = is_short
        self._metrics = metrics or TaskMetrics()
        self._watchdog = Watchdog(self._move_out)
        self._renewal = LeaseRenewal(
            lambda until_ms: self._store.keep(process, until_ms),
            lambda: [entry.run for entry in self._entries.values() if entry.run is not None],
            clock=self._clock,
        )
        self._heap: list[tuple[int, str]] = []
        self._woken = asyncio.Event()
        self._jobs: set[asyncio.Task[None]] = set()
        self._writes = asyncio.Semaphore(WRITES_MAX)
        self._is_declared = asyncio.Event()
        self._is_leading = False
        self._is_stopping = False
        self._started_ms = 0

    @property
    def tasks(self) -> Mapping[str, Task]:
        return {name: entry.task for name, entry in self._entries.items()}

    async def run(self) -> None:
        """Run tasks until this is cancelled; a run that is under way then is given up for another process."""
        await _until_written(self._read_clock)
        self._started_ms = self._clock()
        await _until_written(self._declare)
        self._is_declared.set()
        with self._watchdog.watching():
            try:
                async with asyncio.TaskGroup() as group:
                    for loop in (self._look(), self._follow(), self._renewal.run()):
                        group.create_task(loop)
            finally:
                await self._give_up()

    async def stop(self) -> None:
        """Begin no run any more, and wait until those that are under way have ended."""
        self._is_stopping = True
        while self._jobs:
            await asyncio.wait(tuple(self._jobs))

    async def lead(self) -> None:
        """Be the process that tries each task first, until this is cancelled."""
        await self._is_declared.wait()
        self._is_leading = True
        try:
            await _until_written(self._begin_to_lead)
            await asyncio.Event().wait()
        finally:
            self._is_leading = False

    async def _begin_to_lead(self) -> None:
        await self._store.mark_declared(self._entries.keys())
        for row in await self._store.rows():
            if (entry := self._entries.get(row.name)) is None:
                continue
            self._take(entry, row)
            await self._follow_declaration(entry)
            if entry.task.at_start and row.run_since_ms < self._started_ms and not row.is_paused:
                await self._step(entry, Step(name=row.name, sets={"run_at_ms": max(self._clock(), row.due_at_ms + 1)}))
            self._plan(entry)

    async def _declare(self) -> None:
        now_ms = self._clock()
        rows = [row for entry in self._entries.values() if (row := _new_row(entry.task, now_ms)) is not None]
        for row in await self._store.declare(rows):
            entry = self._entries[row.name]
            entry.row = row
            await self._follow_declaration(entry)
            self._plan(entry)

    async def _follow_declaration(self, entry: Entry) -> None:
        """Count due times by the task's own times, if its row was written by a program that declares others."""
        if entry.row.times == stored(entry.task.times):
            return
        try:
            step = at_declared(entry.row, entry.task.times)
        except Exception:
            log.exception("task_not_scheduled", task=entry.task.name)
        else:
            await self._step_or_read(entry, step)

    async def _read_clock(self) -> None:
        await self._clock.read(self._store.now_ms)

    # The loops

    async def _look(self) -> None:
        """Attend to each task when its time has come."""
        while True:
            now_ms = self._clock()
            while self._heap and self._heap[0][0] <= now_ms:
                at_ms, name = heappop(self._heap)
                entry = self._entries[name]
                if entry.wakes_ms == at_ms:
                    entry.wakes_ms = 0
                    if self._is_leading or entry.is_ours:
                        await self._room()
                        self._attend(entry)
            self._woken.clear()
            sleep_ms = min(LOOK_MS, self._heap[0][0] - self._clock()) if self._heap else LOOK_MS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(sleep_ms / 1_000):
                    await self._woken.wait()

    async def _follow(self) -> None:
        """Take up what was changed by hand, and what another process should have done."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            patience_ms = LEADER_MS if self._is_leading else STANDBY_MS
            try:
                await self._read_clock()
                now_ms = self._clock()
                changed = await self._store.changed_within(FOLLOWED_MS)
                overdue = await self._store.overdue(now_ms - patience_ms, now_ms, limit=OVERDUE_MAX)
            except LedgerError as error:
                log.debug("tasks_not_followed", reason=str(error))
                continue
            for row in changed:
                if (entry := self._entries.get(row.name)) is not None:
                    self._take(entry, row)
            for row in overdue:
                if (entry := self._entries.get(row.name)) is not None:
                    self._take(entry, row)
                    await self._room()
                    self._attend(entry)

    # One task

    def _take(self, entry: Entry, row: TaskRow) -> None:
        """Know a row as it was read, unless a newer one is known."""
        if row.version > entry.row.version:
            entry.row = row
            self._plan(entry)

    def _plan(self, entry: Entry) -> None:
        if (at_ms := wakes_at_ms(entry.task, entry.row)) is not None:
            self._wake(entry, at_ms)

    def _wake(self, entry: Entry, at_ms: int) -> None:
        if not entry.wakes_ms or at_ms < entry.wakes_ms:
            entry.wakes_ms = at_ms
            heappush(self._heap, (at_ms, entry.task.name))
            if self._heap[0] == (at_ms, entry.task.name):
                self._woken.set()

    async def _room(self) -> None:
        """Wait for the steps that are under way, if there are enough of them."""
        if self._writes.locked():
            async with self._writes:
                pass

    def _attend(self, entry: Entry) -> None:
        if not (entry.is_attended or self._is_stopping or self._clock() < entry.rests_until_ms):
            entry.is_attended = True
            self._begin(self._attended(entry))

    async def _attended(self, entry: Entry) -> None:
        at_ms: int | None = None
        try:
            async with self._writes:
                if not self._is_stopping:  # it may have waited for others
                    at_ms = await self._do_due(entry)
        except LedgerError as error:
            log.warning("task_postponed", task=entry.task.name, reason=str(error))
            at_ms = entry.rests_until_ms = self._clock() + RETRY_MS
        except Exception:
            log.exception("task_not_scheduled", task=entry.task.name)
            at_ms = entry.rests_until_ms = self._clock() + BROKEN_MS
        finally:
            entry.is_attended = False
        if at_ms is not None:
            self._wake(entry, at_ms)

    async def _do_due(self, entry: Entry) -> int | None:
        """Do what is to be done about a task now; return when to look again, None: as its row says."""
        now_ms = self._clock()
        if entry.run is not None:
            if entry.task.on_overrun is Overrun.CANCEL and now_ms >= (wakes_at_ms(entry.task, entry.row) or now_ms + 1):
                entry.run.cancel("it was due again")
            return None
        if self._begin_run(entry):
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
                await self._step_or_read(entry, step)
            case Begin(step):
                await self._step_or_read(entry, step)
                self._begin_run(entry)
        return None

    def _begin_run(self, entry: Entry) -> bool:
        """Carry out the run that the row has from this process, also if the answer to its step was lost on the way."""
        row = entry.row
        if row.run_id != entry.run_id or self._clock() >= row.run_until_ms:
            return False
        late_ms = self._clock() - row.run_due_ms - jitter_ms(entry.task, row.run_due_ms)
        self._metrics.count_begin(late_ms=late_ms)
        entry.run = Run(entry.task, row.run_id, row.run_due_ms, own_loop=self._loop_of(entry))
        entry.run_id = new_run_id()
        self._begin(self._carried_out(entry, entry.run))
        return True

    async def _step_or_read(self, entry: Entry, step: Step) -> bool:
        """Make a step; if its conditions do not hold, know the row as it is."""
        known = entry.row.version
        if is_made := await self._step(entry, step):
            self._plan(entry)
        elif (row := await self._store.row(entry.task.name)) is not None:
            entry.row = row
            if row.version > known:
                self._plan(entry)
            else:
                self._wake(entry, max(wakes_at_ms(entry.task, row) or 0, self._clock() + RETRY_MS))
        return is_made

    async def _step(self, entry: Entry, step: Step) -> bool:
        before = entry.row
        if not await self._store.step(step):
            return False
        if entry.row is before:
            entry.row = applied(step, before)
        elif (row := await self._store.row(entry.task.name)) is not None:  # it was read meanwhile, with the step or not
            entry.row = row
        return True

    async def _carried_out(self, entry: Entry, run: Run) -> None:
        """Carry a run out, and write down what came of it."""
        is_here = entry.own_loop is None and is_async(entry.task.work)
        if is_here:
            self._watchdog.begin()
        try:
            ended = await run.carry_out()
        except Exception as error:
            log.exception("task_not_scheduled", task=entry.task.name)
            ended = Ended(RunResult.FAILED, error=type(error).__name__)
        finally:
            if is_here:
                self._watchdog.end()
        ended_ms = self._clock()  # writing it down may take long, and what is due meanwhile is not overrun
        took_ms = ended_ms - entry.row.run_since_ms
        self._metrics.count_end(entry.task.name, ended.result.value, took_ms=took_ms)
        is_short = await self._finds_short(entry.task)
        await self._conclude(
            entry,
            run,
            lambda: ending(entry.task, entry.row, run, ended, now_ms=ended_ms, is_short=is_short),
        )
        if ended.leftover is not None:
            await asyncio.wait((ended.leftover,))
            ended_ms = self._clock()
            await self._conclude(entry, run, lambda: leftover_ended(entry.row, run, now_ms=ended_ms))
        entry.run = None
        self._attend(entry)

    async def _finds_short(self, task: Task) -> bool:
        if self._is_short is None or not isinstance(task.times, Every) or not task.times.interval_ms_max:
            return False
        try:
            return await self._is_short(task)
        except EngineError as error:
            log.warning("task_budget_unavailable", task=task.name, reason=str(error))
            return False
        except Exception:
            log.exception("task_budget_not_read", task=task.name)
            return False

    async def _conclude(self, entry: Entry, run: Run, step: Callable[[], Step]) -> None:
        async def write() -> None:
            async with self._writes:
                is_ours = await self._step_or_read(entry, step())
            if not is_ours:
                log.warning("task_run_was_lost", task=run.task.name, run_id=run.run_id)

        await _until_written(write)

    def _loop_of(self, entry: Entry) -> OwnLoop | None:
        if entry.own_loop is None and entry.task.has_own_thread and is_async(entry.task.work):
            entry.own_loop = OwnLoop(entry.task.name)
        return entry.own_loop

    def _move_out(self, name: str) -> None:
        """Run a task that has blocked the loop of all in one of its own from now on."""
        entry = self._entries[name]
        if entry.task.has_own_thread is None and entry.own_loop is None:
            entry.own_loop = OwnLoop(name)
            log.warning("task_moved_to_own_thread", task=name)

    def _begin(self, job: Awaitable[None]) -> None:
        begun = asyncio.ensure_future(job)
        self._jobs.add(begun)
        begun.add_done_callback(self._jobs.discard)

    async def _give_up(self) -> None:
        """End the runs that are under way; another process takes those that have ended for lost at once."""
        under_way = [(name, entry.run) for name, entry in self._entries.items() if entry.run is not None]
        beginning = [(name, entry.run_id) for name, entry in self._entries.items() if entry.is_attended]
        for job in self._jobs:
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await asyncio.gather(*(run.over() for _, run in under_way))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GIVE_UP_S):
                given_up = beginning + [(name, run.run_id) for name, run in under_way if run.is_over]
                steps = [self._store.step(abandoned(name, run_id)) for name, run_id in given_up]
                await asyncio.gather(*steps, return_exceptions=True)
        for entry in self._entries.values():
            if entry.own_loop is not None:
                entry.own_loop.close()


def _new_row(task: Task, now_ms: int) -> TaskRow | None:
    try:
        next_ms = task.times.due_after(now_ms, anchor_ms=now_ms) or 0
    except Exception:
        log.exception("task_not_scheduled", task=task.name)
        return None
    return TaskRow(name=task.name, times=stored(task.times), due_at_ms=now_ms, anchor_ms=now_ms, next_due_ms=next_ms)


async def _until_written(write: Callable[[], Awaitable[None]]) -> None:
    await retry(write, on=LedgerError, pause_s=RETRY_MS / 1_000, on_failure=_postponed)


def _postponed(error: Exception) -> None:
    log.warning("tasks_postponed", reason=str(error))
