from __future__ import annotations

from dataclasses import replace

import pytest

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.ports.task_store import RunRecord, RunResult, Step, TaskRow
from tempogram.engine.scheduler.board import TaskBoard, TaskConflict, UnknownTask
from tempogram.engine.scheduler.status import TaskStatus
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every
from tests.engine.scheduler.memory_beats import MemoryBeats
from tests.engine.scheduler.memory_tasks import MemoryTaskStore
from tests.fakes import START_MS, Clock

POLL = TaskRow(
    name="poll", times="every 60000 0", due_at_ms=START_MS, anchor_ms=START_MS, next_due_ms=START_MS + 60_000
)


class BusyStore(MemoryTaskStore):
    """Another process changes each row ``overtakes`` times just before a step is made."""

    overtakes = 0

    async def step(self, step: Step) -> bool:
        if self.overtakes:
            self.overtakes -= 1
            row = self.table[step.name]
            self.table[step.name] = replace(row, version=row.version + 1, runs=row.runs + 1)
        return await super().step(step)


@pytest.fixture
def store(clock: Clock) -> BusyStore:
    store = BusyStore(clock)
    store.table["poll"] = POLL
    return store


@pytest.fixture
def board(store: BusyStore, clock: Clock) -> TaskBoard:
    return TaskBoard(store, MemoryBeats(), clock=clock)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_a_change_is_made_again_if_the_row_changed_meanwhile(board: TaskBoard, store: BusyStore) -> None:
    store.overtakes = 3

    paused = await board.pause("poll")

    assert paused.status is TaskStatus.PAUSED
    assert (store.table["poll"].is_paused, store.table["poll"].runs) == (True, 3)


async def test_a_change_that_is_overtaken_again_and_again_is_refused(board: TaskBoard, store: BusyStore) -> None:
    store.overtakes = 1_000

    with pytest.raises(TaskConflict, match="poll changed again and again meanwhile; try again"):
        await board.pause("poll")


async def test_a_task_that_is_paused_already_is_not_changed(board: TaskBoard, store: BusyStore) -> None:
    await board.pause("poll")
    before = store.table["poll"]

    await board.pause("poll")

    assert store.table["poll"] == before


async def test_a_task_that_is_resumed_is_due_at_its_next_time(board: TaskBoard, store: BusyStore, clock: Clock) -> None:
    await board.pause("poll")
    clock.advance(150_000)

    await board.resume("poll")

    assert (store.table["poll"].is_paused, store.table["poll"].next_due_ms) == (False, START_MS + 180_000)


async def test_a_pause_after_failures_ends_when_its_task_is_resumed(
    board: TaskBoard, store: BusyStore, clock: Clock
) -> None:
    store.table["poll"] = replace(POLL, paused_until_ms=START_MS + 600_000, is_failing=True)
    assert (await board.task("poll")).status is TaskStatus.PAUSED

    assert (await board.resume("poll")).status is TaskStatus.FAILING


async def test_an_interval_is_changed_and_returns_to_the_declared_one(board: TaskBoard, store: BusyStore) -> None:
    assert (await board.set_interval("poll", 90_000)).row.next_due_ms == START_MS + 90_000
    assert (await board.set_interval("poll", 0)).row.next_due_ms == START_MS + 60_000


async def test_the_interval_of_a_cron_is_refused(board: TaskBoard, store: BusyStore) -> None:
    store.table["report"] = TaskRow(name="report", times="cron UTC 0 9 * * *")

    with pytest.raises(SettingsError, match="report is due by cron; its interval cannot be changed"):
        await board.set_interval("report", 90_000)


async def test_a_run_is_asked_for_unless_the_task_is_running(board: TaskBoard, store: BusyStore) -> None:
    assert (await board.run_now("poll")).row.run_at_ms > START_MS
    store.table["poll"] = replace(POLL, run_id="r1", run_until_ms=START_MS + 15_000)

    with pytest.raises(TaskConflict, match="poll is running; wait for its end"):
        await board.run_now("poll")


async def test_a_run_begins_at_once_though_the_clock_of_the_process_that_asks_is_ahead(store: BusyStore) -> None:
    ahead = TaskBoard(store, MemoryBeats(), clock=lambda: START_MS + 600_000)

    asked = await ahead.run_now("poll")

    assert asked.status is TaskStatus.NEVER_RUN
    assert store.table["poll"].run_at_ms == START_MS + 1


async def test_a_task_that_no_process_has_cannot_run(board: TaskBoard, store: BusyStore) -> None:
    store.table["poll"] = replace(POLL, is_declared=False)

    with pytest.raises(TaskConflict, match="no process has poll any more"):
        await board.run_now("poll")


async def test_a_task_is_forgotten_with_its_history_once_it_is_not_declared(board: TaskBoard, store: BusyStore) -> None:
    store.runs["poll"].append(RunRecord(name="poll", number=1, due_ms=1, began_ms=1, ended_ms=2, result=RunResult.DONE))
    with pytest.raises(TaskConflict, match="poll is declared; take it out of the program first"):
        await board.forget("poll")
    store.table["poll"] = replace(POLL, is_declared=False)

    await board.forget("poll")

    assert await board.tasks() == []
    assert await board.history("poll") == []


async def test_an_unknown_task_is_named(board: TaskBoard) -> None:
    with pytest.raises(UnknownTask, match="there is no task 'pole'"):
        await board.forget("pole")


async def test_a_jitter_that_this_process_knows_makes_no_task_late(store: BusyStore, clock: Clock) -> None:
    poll = Task(name="poll", times=Every(60_000), work=print, jitter_ms=30_000)
    board = TaskBoard(store, MemoryBeats(), clock=clock, declared={"poll": poll})
    clock.advance(80_000)

    assert (await board.task("poll")).status is TaskStatus.NEVER_RUN
    assert (await TaskBoard(store, MemoryBeats(), clock=clock).task("poll")).status is TaskStatus.LATE
