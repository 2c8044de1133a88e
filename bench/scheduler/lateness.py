"""10,000 tasks, each once a minute: how late do they begin? And what do 40 cost that have nothing to do?

Question    How long after it was due does a run begin on one process with many tasks? What does that cost, how long do
            others wait for the database meanwhile, and what when all are due at once? What does an idle hour cost?
Workload    10,000 tasks, spread over the minute, that do nothing, for 70 s, over SQLite and over PostgreSQL; then all
            of them due at once, as after an outage. 40 tasks that are due once an hour, on a process that leads and on
            one that does not, for 30 s.
Measured    In the process: lateness by its clock at the first step of the task; how long a write of another part waits
            for its transaction; CPU and memory of the process; statements of the idle one.
Checked     p99 of the lateness up to 50 ms; no write waits over 100 ms while all are due at once; each task ran; an
            idle process uses less than 1 % of a processor.

    python -m bench.scheduler.lateness
    SECONDS_OF=10 python -m bench.scheduler.lateness
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
from sqlalchemy import update

from bench.harness import Checks, main, quantile
from bench.scheduler.task_processes import own_database
from tempogram.bot.runtime.gc_tuning import GcTuning
from tempogram.engine.model.clock import SystemClock
from tempogram.engine.ports.task_store import TaskRow
from tempogram.engine.scheduler.scheduler import Scheduler
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every, stored
from tempogram.storage.database import models
from tempogram.storage.database.database import Database
from tempogram.storage.scheduler.tasks import SqlTaskStore

TASKS, MINUTE_MS, HOUR_MS = 10_000, 60_000, 3_600_000
IDLE_TASKS, IDLE_S = 40, float(os.environ.get("IDLE_S", "30"))
LATE_MS_MAX, WAIT_MS_MAX, IDLE_SHARE_MAX = 50.0, 100.0, 0.01
PROBE_S = 0.05
EARLY_MS = 1_000
"""A run that begins a moment before it is due is not late by a minute."""

START_S = 10.0
"""Until the first one is due: the rows of all tasks are written and read first."""


async def bench(checks: Checks, broken: bool) -> None:  # noqa: FBT001, ARG001 - there is no limit to break
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[lambda *_: {}])
    seconds = float(os.environ.get("SECONDS_OF", "70"))
    with tempfile.TemporaryDirectory() as folder:
        await measure(checks, "SQLite", f"sqlite:///{Path(folder) / 'tasks.db'}", seconds)
    async with own_database() as url:
        await measure(checks, "PostgreSQL", url, seconds)


async def measure(checks: Checks, name: str, url: str, seconds: float) -> None:
    database, tuning = await Database.open(url), GcTuning()
    tuning.install()  # as the program does
    try:
        await spread_over_a_minute(checks, name, database, seconds)
        await at_once(checks, name, database)
        await idle(checks, name, database)
    finally:
        tuning.remove()
        await database.close()


@dataclass
class Began:
    """When the tasks of one process began."""

    at_ms: dict[str, list[float]] = field(default_factory=dict)

    def work(self, name: str) -> Callable[[], Awaitable[None]]:
        times = self.at_ms[name] = []

        async def run() -> None:
            times.append(time.time() * 1_000)

        return run

    def late_ms(self, anchors: dict[str, int]) -> list[float]:
        """Return how long after their due times all began."""
        return [
            (at_ms - anchors[name] + EARLY_MS) % MINUTE_MS - EARLY_MS
            for name, times in self.at_ms.items()
            for at_ms in times
        ]


@dataclass
class Counting:
    """Counts what a store is asked."""

    store: SqlTaskStore
    asked: int = 0

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        method = getattr(self.store, name)

        def ask(*words: object, **named: object) -> Awaitable[object]:
            self.asked += 1
            answer: Awaitable[object] = method(*words, **named)
            return answer

        return ask


async def spread_over_a_minute(checks: Checks, name: str, database: Database, seconds: float) -> None:
    began, store = Began(), SqlTaskStore(database)
    tasks = [_task(f"t{number}", MINUTE_MS, began) for number in range(TASKS)]
    now_ms = int(time.time() * 1_000) + int(START_S * 1_000)
    anchors = {task.name: now_ms + number * MINUTE_MS // TASKS for number, task in enumerate(tasks)}
    await store.declare([_row(task, anchors[task.name]) for task in tasks])
    async with running(Scheduler(tasks, store, process="a", clock=SystemClock())):
        await asyncio.sleep(now_ms / 1_000 - time.time())
        used = Usage()
        async with probing(database) as waits:
            await asyncio.sleep(seconds)
    late_ms = began.late_ms(anchors)
    figures = ", ".join(f"{word} {value:.1f}" for word, value in _figures(late_ms))
    expected = TASKS * min(1.0, seconds / 60)
    checks.that(
        len(late_ms) >= expected * 0.99, f"{name}: {len(late_ms)} runs of {TASKS} tasks in {seconds:g} s; {used}"
    )
    late = quantile(late_ms, 0.99)
    checks.that(late <= LATE_MS_MAX, f"{name}: lateness in ms: {figures}")
    _say(f"{name}: another write takes, in ms: {', '.join(f'{w} {v:.1f}' for w, v in _figures(waits))}")


async def at_once(checks: Checks, name: str, database: Database) -> None:
    """Let all be due at once, as after an outage."""
    began, store = Began(), SqlTaskStore(database)
    tasks = [_task(f"t{number}", MINUTE_MS, began) for number in range(TASKS)]
    now_ms = int(time.time() * 1_000)
    all_due = update(models.tasks).values(next_due_ms=now_ms, anchor_ms=now_ms, due_at_ms=now_ms - 1)
    await database.write_alone(lambda connection: connection.execute(all_due))
    used, began_s = Usage(), time.monotonic()
    async with running(Scheduler(tasks, store, process="b", clock=SystemClock())), probing(database) as waits:
        while sum(map(bool, began.at_ms.values())) < TASKS and time.monotonic() < began_s + 60:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        took_s = time.monotonic() - began_s
        await asyncio.sleep(1)
    twice = sum(len(times) > 1 for times in began.at_ms.values())
    ran = sum(map(bool, began.at_ms.values()))
    checks.that(
        ran == TASKS and not twice, f"{name}: all due at once: {ran} ran in {took_s:.1f} s, {twice} twice; {used}"
    )
    wait = quantile(waits, 0.99)
    figures = ", ".join(f"{word} {value:.1f}" for word, value in _figures(waits))
    checks.that(wait <= WAIT_MS_MAX, f"{name}: another write takes meanwhile, in ms: {figures}")


async def idle(checks: Checks, name: str, database: Database) -> None:
    """Measure what tasks cost that are not due."""
    for leads in (True, False):
        store = Counting(SqlTaskStore(database))
        tasks = [_task(f"idle{number}", HOUR_MS, Began()) for number in range(IDLE_TASKS)]
        scheduler = Scheduler(tasks, store, process="c", clock=SystemClock())  # type: ignore[arg-type]
        async with running(scheduler, leads=leads):
            await asyncio.sleep(3)
            used, asked = Usage(), store.asked
            await asyncio.sleep(IDLE_S)
            share = used.cpu_s() / IDLE_S
            asked = store.asked - asked
        what = "leading" if leads else "not leading"
        checks.that(
            share < IDLE_SHARE_MAX,
            f"{name}: {IDLE_TASKS} idle tasks, {what}: {share:.2%} of a processor, {share * 3_600:.0f} s in an hour; "
            f"{asked / IDLE_S:.1f} questions a second",
        )


@asynccontextmanager
async def running(scheduler: Scheduler, *, leads: bool = True) -> AsyncIterator[None]:
    loops = [asyncio.create_task(scheduler.run())] + ([asyncio.create_task(scheduler.lead())] if leads else [])
    try:
        yield
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


@asynccontextmanager
async def probing(database: Database) -> AsyncIterator[list[float]]:
    """Write from another part of the program until the block ends; yields how long each took, in ms."""
    waits: list[float] = []

    async def probe() -> None:
        while True:
            began_s = time.perf_counter()
            await database.write_alone(lambda _: None)
            waits.append((time.perf_counter() - began_s) * 1_000)
            await asyncio.sleep(PROBE_S)

    loop = asyncio.create_task(probe())
    try:
        yield waits
    finally:
        loop.cancel()
        await asyncio.wait((loop,))


class Usage:
    """What this process uses from now on."""

    def __init__(self) -> None:
        gc.collect()
        self._began_s = time.process_time()

    def cpu_s(self) -> float:
        return time.process_time() - self._began_s

    def __str__(self) -> str:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024
        return f"{self.cpu_s():.1f} s of CPU, at most {memory:.0f} MB"


def _task(name: str, interval_ms: int, began: Began) -> Task:
    return Task(name=name, times=Every(interval_ms), work=began.work(name))


def _row(task: Task, anchor_ms: int) -> TaskRow:
    """Return the row of a task that is due the first time at its anchor."""
    row = TaskRow(name=task.name, times=stored(task.times), due_at_ms=anchor_ms - 1)
    return replace(row, anchor_ms=anchor_ms, next_due_ms=anchor_ms)


def _figures(values: list[float]) -> list[tuple[str, float]]:
    return [(f"p{share * 100:g}", quantile(values, share)) for share in (0.5, 0.99)] + [("max", max(values))]


def _say(sentence: str) -> None:
    sys.stdout.write(f"       {sentence}\n")


if __name__ == "__main__":
    main("How late do tasks begin, and what does it cost?", bench)
