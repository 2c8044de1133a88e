from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tempogram.engine.model.errors import BrokerUnavailable, LedgerError
from tempogram.engine.observability.task_metrics import TaskMetrics
from tempogram.engine.ports.task_store import RunResult, TaskRow
from tempogram.engine.scheduler.by_hand import at_interval, paused, resumed, run_now
from tempogram.engine.scheduler.scheduler import Scheduler
from tempogram.engine.scheduler.task import Overrun, Task
from tempogram.engine.scheduler.times import Every
from tests.engine.scheduler.memory_tasks import MemoryTaskStore
from tests.fakes import START_MS
from tests.virtual_time import LoopClock, in_virtual_time

MINUTE_MS = 60_000


class Way:
    """A process's way to the database; it may lead elsewhere after a while."""

    def __init__(self, store: MemoryTaskStore) -> None:
        self.leads_to: Any = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.leads_to, name)


class Process:
    """One process that runs tasks; it can be killed, and its clock stepped."""

    def __init__(
        self, name: str, store: MemoryTaskStore, *tasks: Task, leads: bool = True, runs: bool = True, **kwargs: Any
    ) -> None:
        self.clock = LoopClock(asyncio.get_running_loop())
        self.way = Way(store)
        self.scheduler = Scheduler(tasks, self.way, process=name, clock=self.clock, **kwargs)
        self._running: asyncio.Task[None]
        if runs:
            self.run()
        self._leading = asyncio.create_task(self.scheduler.lead()) if leads else None

    async def stop(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10):
                await self.scheduler.stop()
        for task in (self._leading, self._running):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def run(self) -> None:
        self._running = asyncio.create_task(self.scheduler.run())

    def lead(self) -> None:
        self._leading = asyncio.create_task(self.scheduler.lead())


class Log:
    """What tasks of a test write down: when they began, in seconds since the start."""

    def __init__(self) -> None:
        self.began: list[float] = []

    def task(self, lasts_s: float = 0.0, fails: bool = False, returns: Any = None) -> Callable[[], Awaitable[Any]]:  # noqa: FBT001, FBT002
        async def work() -> Any:
            self.began.append(asyncio.get_running_loop().time())
            await asyncio.sleep(lasts_s)
            if fails:
                raise ValueError("the service is away")
            return returns

        return work


def every(seconds: float, work: Callable[[], Any], *, name: str = "poll", **kwargs: Any) -> Task:
    return Task(name=name, times=Every(int(seconds * 1_000)), work=work, **kwargs)


def near(*times: float) -> list[Any]:
    return [pytest.approx(time, abs=0.02) for time in times]


@contextlib.asynccontextmanager
async def running(*tasks: Task, **kwargs: Any) -> AsyncIterator[MemoryTaskStore]:
    clock = LoopClock(asyncio.get_running_loop())
    store = MemoryTaskStore(clock)
    process = Process("a", store, *tasks, **kwargs)
    try:
        yield store
    finally:
        await process.stop()


def row_of(store: MemoryTaskStore, name: str = "poll") -> TaskRow:
    return store.table[name]


def test_a_task_runs_at_its_interval() -> None:
    async def scenario() -> None:
        log = Log()
        async with running(every(60, log.task())) as store:
            await asyncio.sleep(200)
        assert log.began == near(60, 120, 180)
        assert row_of(store).runs == 3
        assert row_of(store).next_due_ms == START_MS + 240_000

    in_virtual_time(scenario())


def test_a_run_that_lasts_longer_than_the_interval_skips_what_is_due_meanwhile() -> None:
    async def scenario() -> None:
        log = Log()
        async with running(every(60, log.task(lasts_s=100), timeout_ms=200_000)) as store:
            await asyncio.sleep(300)
        assert log.began[:2] == near(60, 180)
        assert row_of(store).overruns == 2
        assert row_of(store).missed == 0

    in_virtual_time(scenario())


def test_a_task_that_queues_runs_once_more_at_the_end_of_a_long_run() -> None:
    async def scenario() -> None:
        log = Log()
        async with running(every(60, log.task(lasts_s=130), timeout_ms=200_000, on_overrun=Overrun.QUEUE)) as store:
            await asyncio.sleep(330)
        assert log.began == near(60, 190, 320)
        assert row_of(store).overruns == 4

    in_virtual_time(scenario())


def test_a_task_that_cancels_ends_its_long_run_when_it_is_due_again() -> None:
    async def scenario() -> None:
        log = Log()
        async with running(every(60, log.task(lasts_s=500), timeout_ms=900_000, on_overrun=Overrun.CANCEL)) as store:
            await asyncio.sleep(190)
        assert log.began == near(60, 120, 180)
        assert row_of(store).cancelled == 2
        assert store.runs["poll"][0].error == "it was due again"

    in_virtual_time(scenario())


def test_a_run_that_hangs_is_cancelled_at_its_time_limit_and_tried_again() -> None:
    async def scenario() -> None:
        log = Log()
        async with running(every(60, log.task(lasts_s=1_000), timeout_ms=5_000, max_retries=2)) as store:
            await asyncio.sleep(100)
        assert log.began == near(60, 66, 73)
        assert row_of(store).timed_out == 1
        assert store.runs["poll"][0].attempts == 3
        assert row_of(store).last_error == "it took longer than 5 s"

    in_virtual_time(scenario())


def test_a_task_that_fails_is_tried_again_and_its_error_is_kept() -> None:
    async def scenario() -> None:
        log = Log()
        async with running(every(60, log.task(fails=True), max_retries=1)) as store:
            await asyncio.sleep(70)
        assert log.began == near(60, 61)
        assert row_of(store).last_error == "ValueError: the service is away"
        assert row_of(store).failed == 1

    in_virtual_time(scenario())


def test_a_task_that_ignores_its_cancellation_does_not_run_twice_at_once() -> None:
    async def scenario() -> None:
        began: list[float] = []

        async def impolite() -> None:
            began.append(asyncio.get_running_loop().time())
            for _ in range(100):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(1)

        async with running(every(60, impolite, timeout_ms=5_000)) as store:
            await asyncio.sleep(70)
            assert row_of(store).last_result == RunResult.TIMED_OUT.value
            await asyncio.sleep(200)
        assert began == near(60, 180)
        assert row_of(store).overruns == 1

    in_virtual_time(scenario())


def test_a_task_chooses_when_it_runs_next() -> None:
    async def scenario() -> None:
        log = Log()
        async with running(every(600, log.task(returns=timedelta(seconds=30)))):
            await asyncio.sleep(670)
        assert log.began == near(600, 630, 660)

    in_virtual_time(scenario())


@pytest.mark.parametrize("returned", [0, 3, 0.5, True, "soon", datetime.min])  # noqa: DTZ901 - it has no time in UTC
def test_what_a_task_returns_that_is_no_time_changes_nothing(returned: Any) -> None:
    async def scenario() -> None:
        log = Log()
        async with running(every(60, log.task(returns=returned))):
            await asyncio.sleep(190)
        assert log.began == near(60, 120, 180)

    in_virtual_time(scenario())


def test_a_time_that_has_passed_lets_a_task_run_again_at_once_and_a_far_one_within_a_year() -> None:
    async def scenario() -> None:
        past, far = Log(), Log()
        async with running(
            every(60, past.task(returns=datetime(2000, 1, 1, tzinfo=UTC)), name="past"),
            every(60, far.task(returns=datetime.max.replace(tzinfo=UTC)), name="far"),
        ) as store:
            await asyncio.sleep(60.45)
            assert past.began == near(60, 60.1, 60.2, 60.3, 60.4)
            assert row_of(store, "far").next_due_ms == pytest.approx(START_MS + 60_000 + 366 * 86_400_000, abs=20)

    in_virtual_time(scenario())


def test_a_task_that_awaits_what_was_cancelled_has_failed() -> None:
    async def awaits_cancelled() -> None:
        other = asyncio.create_task(asyncio.sleep(1_000))
        other.cancel()
        await other

    async def scenario() -> None:
        async with running(every(60, awaits_cancelled, pause_after=2)) as store:
            await asyncio.sleep(130)
            assert row_of(store).failed == 2
            assert row_of(store).is_failing

    in_virtual_time(scenario())


def test_what_is_due_when_a_process_begins_to_lead_runs_at_once_beside_what_runs_at_the_start() -> None:
    async def scenario() -> None:
        log = Log()
        store = MemoryTaskStore(LoopClock(asyncio.get_running_loop()))
        tasks = every(60, log.task(), name="due"), every(3_600, Log().task(), name="upkeep", at_start=True)
        await Process("a", store, *tasks).stop()
        await asyncio.sleep(70)
        process = Process("b", SlowStore(store), *tasks, leads=False)  # type: ignore[arg-type]
        await asyncio.sleep(1)
        process.lead()
        await asyncio.sleep(0.5)
        assert log.began == [pytest.approx(71, abs=0.1)]
        await process.stop()

    in_virtual_time(scenario())


class SlowStore:
    """Its answers take a moment, in which others go on."""

    def __init__(self, store: MemoryTaskStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        async def answer(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0.01)
            return await getattr(self._store, name)(*args, **kwargs)

        return answer


def test_a_process_that_leads_before_its_tasks_are_known_runs_what_runs_at_the_start() -> None:
    async def scenario() -> None:
        log = Log()
        store = MemoryTaskStore(LoopClock(asyncio.get_running_loop()))
        process = Process("a", store, every(60, log.task(), at_start=True), runs=False)
        await asyncio.sleep(5)
        process.run()
        await asyncio.sleep(10)
        assert log.began == near(5)
        await process.stop()

    in_virtual_time(scenario())


def test_a_task_pauses_after_failures_and_is_well_after_successes() -> None:
    async def scenario() -> None:
        fails = True

        async def work() -> None:
            if fails:
                raise ValueError("no")

        async with running(every(10, work, pause_after=3, pause_ms=60_000, well_after=2)) as store:
            await asyncio.sleep(35)
            assert row_of(store).is_failing
            assert row_of(store).next_due_ms == START_MS + 90_000
            fails = False
            await asyncio.sleep(60)
            assert row_of(store).is_failing
            await asyncio.sleep(10)
        assert not row_of(store).is_failing
        assert row_of(store).missed == 0

    in_virtual_time(scenario())


def test_a_task_that_never_pauses_is_failing_after_five_failures() -> None:
    async def scenario() -> None:
        async def work() -> None:
            raise ValueError("no")

        async with running(every(10, work, pause_after=0)) as store:
            await asyncio.sleep(45)
            assert not row_of(store).is_failing
            await asyncio.sleep(10)
            assert row_of(store).is_failing
            assert row_of(store).paused_until_ms == 0
            await asyncio.sleep(10)
            assert row_of(store).failures == 6

    in_virtual_time(scenario())


def test_an_interval_is_stretched_while_the_budget_is_short_and_shortened_afterwards() -> None:
    async def scenario() -> None:
        short = True
        log = Log()
        task = Task(name="poll", times=Every(100_000, 300_000), work=log.task())

        async def is_short(_: Task) -> bool:
            return short

        async with running(task, is_short=is_short):
            await asyncio.sleep(1_000)
            short = False
            await asyncio.sleep(1_200)
        assert log.began == near(
            100,
            250,
            475,
            775,
            1_075,
            1_275,
            1_408.333,
            1_508.333,
            1_608.333,
            1_708.333,
            1_808.333,
            1_908.333,
            2_008.333,
            2_108.333,
        )

    in_virtual_time(scenario())


def test_a_killed_process_loses_its_run_and_an_idempotent_task_is_repeated() -> None:
    async def scenario() -> None:
        log = Log()
        store = MemoryTaskStore(LoopClock(asyncio.get_running_loop()))
        tasks = (
            every(60, log.task(lasts_s=20), name="repeats", is_idempotent=True),
            every(60, log.task(lasts_s=20), name="once"),
        )
        first = Process("a", store, *tasks)
        second = Process("b", store, *tasks, leads=False)
        await asyncio.sleep(65)
        kill(first)
        second.lead()
        await asyncio.sleep(50)
        assert row_of(store, "repeats").lost == row_of(store, "once").lost == 1
        assert [run.result for run in store.runs["repeats"]] == [RunResult.LOST, RunResult.DONE]
        assert [run.result for run in store.runs["once"]] == [RunResult.LOST]
        await second.stop()

    in_virtual_time(scenario())


def test_a_task_that_kills_its_process_again_and_again_counts_as_failing() -> None:
    async def scenario() -> None:
        log = Log()
        store = MemoryTaskStore(LoopClock(asyncio.get_running_loop()))
        for number in range(5):
            process = Process(f"p{number}", store, every(60, log.task(lasts_s=50)))
            await asyncio.sleep(70)
            kill(process)
        last = Process("last", store, every(60, log.task(lasts_s=50)), leads=False)
        await asyncio.sleep(20)
        assert row_of(store).lost == row_of(store).failures == 5
        assert row_of(store).is_failing
        await last.stop()

    in_virtual_time(scenario())


def kill(process: Process) -> None:
    """Let a process do nothing any more: no end of its runs is written."""
    process.way.leads_to = Dead()
    for task in (process._leading, process._running):
        if task is not None:
            task.cancel()
    for job in process.scheduler._runner.jobs:
        job.cancel()


class Refusing:
    """A database that refuses everything."""

    def __getattr__(self, name: str) -> Any:
        async def refuse(*_: Any, **__: Any) -> Any:
            raise LedgerError("the database is away")

        return refuse


class Dead:
    def __getattr__(self, name: str) -> Any:
        async def never(*_: Any, **__: Any) -> Any:
            await asyncio.Event().wait()

        return never


def test_a_stopped_leader_is_replaced_and_each_due_time_runs_once() -> None:
    async def scenario() -> None:
        log = Log()
        store = MemoryTaskStore(LoopClock(asyncio.get_running_loop()))
        task = every(60, log.task())
        first = Process("a", store, task)
        second = Process("b", store, task, leads=False)
        await asyncio.sleep(70)
        kill(first)
        await asyncio.sleep(60)
        assert log.began == [pytest.approx(60, abs=0.02), pytest.approx(124, abs=1.1)]
        assert row_of(store).missed == 0
        await second.stop()

    in_virtual_time(scenario())


def test_another_process_keeps_the_time_of_a_leader_that_is_frozen_until_it_goes_on() -> None:
    async def scenario() -> None:
        log, theirs = Log(), Log()
        store = MemoryTaskStore(LoopClock(asyncio.get_running_loop()))
        frozen = Process("a", store, every(5, theirs.task()))
        stands_in = Process("b", store, every(5, log.task()), leads=False)
        await asyncio.sleep(7)
        frozen.way.leads_to = Dead()  # it keeps the lead
        await asyncio.sleep(50)
        first, *later = log.began
        assert first == pytest.approx(14, abs=1.1)
        assert [began % 5 for began in later] == [pytest.approx(0.75, abs=0.4)] * 9
        await stands_in.stop()
        kill(frozen)

    in_virtual_time(scenario())


def test_a_process_that_stood_in_for_the_leader_looks_seldom_again() -> None:
    async def scenario() -> None:
        log = Log()
        store = MemoryTaskStore(LoopClock(asyncio.get_running_loop()))
        first = Process("a", store, every(5, log.task()))
        second = Process("b", store, every(5, log.task()), leads=False)
        await asyncio.sleep(7)
        first.way.leads_to = Refusing()
        await asyncio.sleep(20)
        first.way.leads_to = store
        await asyncio.sleep(60)
        looks = store.looks
        await asyncio.sleep(20)
        assert store.looks - looks == pytest.approx(20, abs=2)
        await first.stop()
        await second.stop()

    in_virtual_time(scenario())


def test_a_paused_task_runs_when_it_is_asked_to_and_after_it_was_resumed() -> None:
    async def scenario() -> None:
        log = Log()
        clock = LoopClock(asyncio.get_running_loop())
        async with running(every(60, log.task())) as store:
            await asyncio.sleep(10)
            await store.step(paused(row_of(store), clock()))
            await asyncio.sleep(200)
            await store.step(run_now(row_of(store), clock()))
            await asyncio.sleep(10)
            assert log.began == [pytest.approx(211, abs=2)]
            await store.step(resumed(row_of(store), clock()))
            await asyncio.sleep(30)
        assert log.began[1:] == near(240)
        assert row_of(store).missed == 0

    in_virtual_time(scenario())


def test_a_changed_interval_is_counted_from_the_last_due_time() -> None:
    async def scenario() -> None:
        log = Log()
        clock = LoopClock(asyncio.get_running_loop())
        async with running(every(60, log.task())) as store:
            await asyncio.sleep(70)
            await store.step(at_interval(row_of(store), 100_000, clock()))
            await asyncio.sleep(300)
        assert log.began == near(60, 160, 260, 360)

    in_virtual_time(scenario())


def test_what_was_missed_is_caught_up_once_and_the_rest_is_counted() -> None:
    async def scenario() -> None:
        log = Log()
        store = MemoryTaskStore(LoopClock(asyncio.get_running_loop()))
        tasks = every(60, log.task()), every(60, log.task(), name="fresh", catch_up_ms=10_000)
        await Process("a", store, *tasks).stop()
        first = Process("a", store, *tasks)
        await asyncio.sleep(1)
        await first.stop()
        await asyncio.sleep(289)
        second = Process("b", store, *tasks)
        await asyncio.sleep(5)
        assert len(log.began) == 1
        assert row_of(store).missed == 3
        assert row_of(store, "fresh").missed == 4
        await second.stop()

    in_virtual_time(scenario())


def test_while_the_database_is_away_nothing_begins_and_afterwards_the_newest_is_caught_up() -> None:
    async def scenario() -> None:
        log = Log()
        async with running(every(60, log.task())) as store:
            await asyncio.sleep(50)
            store.is_away = True
            await asyncio.sleep(150)
            assert log.began == []
            store.is_away = False
            await asyncio.sleep(5)
        assert len(log.began) == 1
        assert row_of(store).missed == 2

    in_virtual_time(scenario())


def test_a_clock_stepped_forward_uses_up_no_due_time_that_has_not_come() -> None:
    async def scenario() -> None:
        log = Log()
        store = MemoryTaskStore(LoopClock(asyncio.get_running_loop()))
        task = every(60, log.task())
        wrong = Process("a", store, task)
        right = Process("b", store, task, leads=False)
        await asyncio.sleep(70)
        wrong.clock.off_ms = 3_600_000
        await asyncio.sleep(200)
        assert log.began[0] == pytest.approx(60, abs=0.02)
        assert [time // 60 for time in log.began] == [1, 2, 3, 4]
        await wrong.stop()
        await right.stop()

    in_virtual_time(scenario())


def test_runs_are_counted_with_their_results_their_lateness_and_their_duration() -> None:
    async def scenario() -> None:
        metrics, log = TaskMetrics(), Log()
        slow = every(60, log.task(lasts_s=2), name="slow", jitter_ms=30_000)
        broken = every(60, log.task(fails=True), name="broken")
        async with running(slow, broken, metrics=metrics):
            await asyncio.sleep(200)
        assert dict(metrics.tasks["slow"].runs) == {"done": 3}
        assert dict(metrics.tasks["broken"].runs) == {"failed": 3}
        assert metrics.tasks["slow"].duration_s == pytest.approx(6, abs=0.1)
        assert metrics.lateness.sum < 0.2

    in_virtual_time(scenario())


def test_a_budget_that_cannot_be_read_counts_as_not_short() -> None:
    async def scenario() -> None:
        async def away(_: Task) -> bool:
            raise BrokerUnavailable("connection refused")

        log = Log()
        task = Task(name="poll", times=Every(60_000, 240_000), work=log.task())
        async with running(task, is_short=away) as store:
            await asyncio.sleep(130)
        assert log.began == near(60, 120)
        assert row_of(store).interval_ms == 0

    in_virtual_time(scenario())


@pytest.mark.parametrize("off_ms", [-3_600_000, 0, 3_600_000])
def test_a_pause_is_followed_whatever_the_clock_of_the_process_that_was_asked(off_ms: int) -> None:
    async def scenario() -> None:
        log = Log()
        async with running(every(60, log.task())) as store:
            await asyncio.sleep(30)
            await store.step(paused(row_of(store), START_MS + 30_000 + off_ms))
            await asyncio.sleep(100)
        assert log.began == []

    in_virtual_time(scenario())
