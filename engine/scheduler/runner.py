"""Carries out the runs of this process, and writes down what came of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

import structlog

from tempogram.engine.model.clock import Clock
from tempogram.engine.model.errors import EngineError, LedgerError
from tempogram.engine.observability.task_metrics import TaskMetrics
from tempogram.engine.ports.task_store import RunResult, Step
from tempogram.engine.resilience.retry import retry
from tempogram.engine.scheduler.decisions import jitter_ms
from tempogram.engine.scheduler.endings import ending, leftover_ended
from tempogram.engine.scheduler.entry import Entry, new_run_id
from tempogram.engine.scheduler.known_rows import RETRY_MS, KnownRows
from tempogram.engine.scheduler.own_loop import OwnLoop
from tempogram.engine.scheduler.run import Ended, Run, is_async
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every
from tempogram.engine.scheduler.watchdog import Watchdog

log = structlog.get_logger()

GIVE_UP_S = 3.0
"""How long giving up the runs of a process that ends may take."""

IsShort = Callable[[Task], Awaitable[bool]]


class Runner:
    """See the module.

    Args:
        entries: All tasks, by name.
        writes: How many steps may be made at once.
        ended: Is called with a task whose run has ended: it may be due again.
    """

    def __init__(
        self,
        entries: Mapping[str, Entry],
        rows: KnownRows,
        writes: asyncio.Semaphore,
        *,
        clock: Clock,
        is_short: IsShort | None,
        metrics: TaskMetrics,
        ended: Callable[[Entry], Awaitable[None]],
    ) -> None:
        self._entries = entries
        self._rows = rows
        self._writes = writes
        self._clock = clock
        self._is_short = is_short
        self._metrics = metrics
        self._ended = ended
        self._watchdog = Watchdog(self._move_out)
        self.jobs: set[asyncio.Task[None]] = set()

    def watching(self) -> contextlib.AbstractContextManager[None]:
        """Name tasks that block the loop, until the block ends."""
        return self._watchdog.watching()

    def spawn(self, job: Awaitable[None]) -> None:
        """Do something beside all else, until it ends or this process does."""
        begun = asyncio.ensure_future(job)
        self.jobs.add(begun)
        begun.add_done_callback(self.jobs.discard)

    def begin(self, entry: Entry) -> bool:
        """Carry out the run that the row has from this process, also if the answer to its step was lost on the way."""
        row = entry.row
        if row.run_id != entry.run_id or self._clock() >= row.run_until_ms:
            return False
        late_ms = self._clock() - row.run_due_ms - jitter_ms(entry.task, row.run_due_ms)
        self._metrics.count_begin(late_ms=late_ms)
        entry.run = Run(entry.task, row.run_id, row.run_due_ms, own_loop=self._loop_of(entry))
        entry.run_id = new_run_id()
        self.spawn(self._carried_out(entry, entry.run))
        return True

    async def give_up(self) -> None:
        """End the runs that are under way; another process takes those that have ended for lost at once."""
        under_way = [(name, entry.run) for name, entry in self._entries.items() if entry.run is not None]
        beginning = [(name, entry.run_id) for name, entry in self._entries.items() if entry.is_attended]
        for job in self.jobs:
            job.cancel()
        await asyncio.gather(*self.jobs, return_exceptions=True)
        await asyncio.gather(*(run.over() for _, run in under_way))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GIVE_UP_S):
                given_up = beginning + [(name, run.run_id) for name, run in under_way if run.is_over]
                steps = [self._rows.give_up(name, run_id) for name, run_id in given_up]
                await asyncio.gather(*steps, return_exceptions=True)
        for entry in self._entries.values():
            if entry.own_loop is not None:
                entry.own_loop.close()

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
        await self._write_down(entry, run, ended)
        if ended.leftover is not None:
            await asyncio.wait((ended.leftover,))
            ended_ms = self._clock()
            await self._conclude(entry, run, lambda: leftover_ended(entry.row, run, now_ms=ended_ms))
        entry.run = None
        await self._ended(entry)

    async def _write_down(self, entry: Entry, run: Run, ended: Ended) -> None:
        ended_ms = self._clock()  # writing it down may take long, and what is due meanwhile is not overrun
        took_ms = ended_ms - entry.row.run_since_ms
        self._metrics.count_end(entry.task.name, ended.result.value, took_ms=took_ms)
        is_short = await self._finds_short(entry.task)
        await self._conclude(
            entry, run, lambda: ending(entry.task, entry.row, run, ended, now_ms=ended_ms, is_short=is_short)
        )

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
                is_ours = await self._rows.change_or_read(entry, step())
            if not is_ours:
                log.warning("task_run_was_lost", task=run.task.name, run_id=run.run_id)

        await until_written(write)

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


async def until_written(write: Callable[[], Awaitable[None]]) -> None:
    """Write, again and again while the database refuses."""
    await retry(write, on=LedgerError, pause_s=RETRY_MS / 1_000, on_failure=_postponed)


def _postponed(error: Exception) -> None:
    log.warning("tasks_postponed", reason=str(error))
