"""What goes wrong beside the tasks: answers that are lost, clocks, other versions of the program, and the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from structlog.testing import capture_logs

from tempogram.engine.model.errors import LedgerError
from tempogram.engine.ports.task_store import Step, TaskRow
from tempogram.engine.scheduler.by_hand import paused, resumed
from tempogram.engine.scheduler.scheduler import WRITES_MAX
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Cron
from tests.engine.scheduler.memory_tasks import MemoryTaskStore
from tests.engine.scheduler.test_scheduler import Log, Process, Refusing, every, kill, near, row_of, running
from tests.fakes import START_MS
from tests.virtual_time import LoopClock, in_virtual_time


class FaultyStore(MemoryTaskStore):
    """Makes steps, but their answers may be lost, or late."""

    def __init__(self) -> None:
        super().__init__(LoopClock(asyncio.get_running_loop()))
        self.loses_answers = False
        self.answers_after_s = 0.0
        self.hangs = False
        self.at_once = self.most_at_once = 0
        self.after_step: Callable[[Step], Awaitable[None]] | None = None

    async def step(self, step: Step) -> bool:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            is_made = await super().step(step)
            await asyncio.sleep(self.answers_after_s)
            if self.after_step is not None:
                await self.after_step(step)
            if self.loses_answers:
                raise LedgerError("the connection was lost")
            return is_made
        finally:
            self.at_once -= 1

    async def keep(self, process: str, until_ms: int) -> frozenset[str]:
        if self.hangs:
            await asyncio.Event().wait()
        return await super().keep(process, until_ms)


def test_a_run_of_which_the_beginning_was_not_answered_is_carried_out_once_and_ends() -> None:
    async def scenario() -> None:
        log, other = Log(), Log()
        store = FaultyStore()
        process = Process("a", store, every(60, log.task()), every(50, other.task(lasts_s=40), name="other"))
        await asyncio.sleep(59)
        store.loses_answers = True
        await asyncio.sleep(3)
        store.loses_answers = False
        await asyncio.sleep(130)
        assert [began // 60 for began in log.began] == [1, 2, 3]
        assert (row_of(store).lost, row_of(store).runs) == (0, 3)
        await process.stop()

    in_virtual_time(scenario())


def test_changes_by_hand_beside_a_step_of_the_task_are_followed() -> None:
    async def scenario() -> None:
        log = Log()
        store = FaultyStore()
        process = Process("a", store, every(60, log.task()))

        async def pause_meanwhile(step: Step) -> None:
            if step.sets.get("run_id"):
                await MemoryTaskStore.step(store, paused(row_of(store), process.clock()))
                await asyncio.sleep(5)  # the process reads the row before it hears of its own step

        store.after_step = pause_meanwhile
        await asyncio.sleep(130)
        assert len(log.began) == 1
        store.after_step = None
        await MemoryTaskStore.step(store, resumed(row_of(store), process.clock()))
        await asyncio.sleep(60)
        assert log.began[1:] == near(180)
        await process.stop()

    in_virtual_time(scenario())


def test_what_is_due_while_the_end_of_a_run_cannot_be_written_is_run_afterwards() -> None:
    async def scenario() -> None:
        log = Log()
        async with running(every(60, log.task(lasts_s=5))) as store:
            await asyncio.sleep(62)
            store.is_away = True
            await asyncio.sleep(10)
            store.is_away = False
            await asyncio.sleep(20)
            assert (row_of(store).runs, row_of(store).last_duration_ms) == (1, 5_000)
            await asyncio.sleep(30)
            store.is_away = True  # its second run is under way
            await asyncio.sleep(0.1)
            store.is_away = False
            await asyncio.sleep(130)
        assert row_of(store).overruns == 0
        assert log.began == near(60, 120, 180, 240)

    in_virtual_time(scenario())


def test_a_database_that_does_not_answer_ends_a_run_before_another_process_may_repeat_it() -> None:
    async def scenario() -> None:
        ended: list[float] = []

        async def work() -> None:
            try:
                await asyncio.sleep(500)
            finally:
                ended.append(asyncio.get_running_loop().time())

        store = FaultyStore()
        process = Process("a", store, every(60, work, timeout_ms=600_000))
        await asyncio.sleep(63)
        store.hangs = True
        await asyncio.sleep(30)
        assert len(ended) == 1
        assert 60 < ended[0] < 75
        await process.stop()

    in_virtual_time(scenario())


def test_thousands_of_tasks_that_are_due_together_leave_the_database_to_others() -> None:
    async def scenario() -> None:
        log = Log()
        store = FaultyStore()
        store.answers_after_s = 0.01
        process = Process("a", store, *(every(60, log.task(), name=f"t{number}") for number in range(1_000)))
        jobs: list[int] = []

        async def count(_: Step) -> None:
            jobs.append(len(process.scheduler._runner.jobs))

        store.after_step = count
        await asyncio.sleep(62)
        assert len(log.began) == 1_000
        assert store.most_at_once <= WRITES_MAX
        assert max(jobs) <= 3 * WRITES_MAX
        await process.stop()

    in_virtual_time(scenario())


def test_a_task_that_would_end_the_program_fails_and_the_others_run() -> None:
    async def scenario() -> None:
        log = Log()

        async def leaves() -> None:
            raise SystemExit(3)

        async def interrupts() -> None:
            raise KeyboardInterrupt

        async def gives_up() -> None:
            raise asyncio.CancelledError

        tasks = [every(60, work, name=work.__name__) for work in (leaves, interrupts, gives_up)]
        async with running(*tasks, every(60, log.task(), name="other")) as store:
            await asyncio.sleep(130)
        assert log.began == near(60, 120)
        assert store.table["leaves"].last_error == "TaskExit: SystemExit: 3"
        assert [store.table[name].failed for name in ("leaves", "interrupts", "gives_up")] == [2, 2, 2]

    in_virtual_time(scenario())


@pytest.mark.parametrize("returned", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", float("nan"), 1e300])
def test_a_next_run_that_makes_no_sense_is_not_followed(returned: Any) -> None:
    async def scenario() -> None:
        chosen = datetime.fromisoformat(returned) if isinstance(returned, str) else returned
        log = Log()
        async with running(every(60, log.task(returns=chosen))):
            await asyncio.sleep(130)
        assert log.began == near(60, 120)

    in_virtual_time(scenario())


def test_an_error_that_says_nothing_readable_ends_its_run_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    async def scenario() -> None:
        began: list[float] = []

        async def work() -> None:
            began.append(asyncio.get_running_loop().time())
            raise Mute

        async with running(every(60, work)) as store:
            await asyncio.sleep(130)
        assert began == near(60, 120)
        assert row_of(store).failed == 2

    in_virtual_time(scenario())


def test_what_is_wrong_with_one_task_is_reported_each_minute_and_holds_up_no_other() -> None:
    class BrokenCron(Cron):
        def passed(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("the zone is gone")

    async def scenario() -> None:
        log = Log()
        broken = Task(name="broken", times=BrokenCron("* * * * *"), work=log.task())
        good = Log()
        with capture_logs() as logs:
            async with running(broken, every(60, good.task())):
                await asyncio.sleep(310)
        assert good.began == near(60, 120, 180, 240, 300)
        assert 3 <= sum(entry["event"] == "task_not_scheduled" for entry in logs) <= 6

    in_virtual_time(scenario())


def test_a_new_leader_counts_by_its_own_declaration_what_an_older_program_ran_last() -> None:
    async def scenario() -> None:
        old, new = Log(), Log()
        store = MemoryTaskStore(LoopClock(asyncio.get_running_loop()))
        older = Process("old", store, every(3_600, old.task()))
        await asyncio.sleep(3_590)
        newer = Process("new", store, every(60, new.task()), leads=False)
        await asyncio.sleep(0.1)
        row = await store.row("poll")
        assert row is not None
        store.table["poll"] = replace(row, next_due_ms=START_MS + 3_600_000)  # as the older one still plans it
        await asyncio.sleep(20)
        kill(older)
        newer.lead()
        await asyncio.sleep(200)
        assert old.began == near(3_600)
        assert new.began == near(3_660, 3_720, 3_780)
        await newer.stop()

    in_virtual_time(scenario())


def test_a_task_that_is_paused_by_hand_does_not_run_at_a_start() -> None:
    async def scenario() -> None:
        log = Log()
        clock = LoopClock(asyncio.get_running_loop())
        store = MemoryTaskStore(clock)
        task = every(60, log.task(), at_start=True)
        first = Process("a", store, task)
        await asyncio.sleep(5)
        await store.step(paused(row_of(store), clock()))
        await first.stop()
        second = Process("b", store, task)
        await asyncio.sleep(100)
        assert len(log.began) == 1
        await second.stop()

    in_virtual_time(scenario())


def test_a_task_that_runs_at_the_start_does_so_though_the_database_takes_a_while_to_know_it() -> None:
    class SlowStore(MemoryTaskStore):
        async def declare(self, rows: Any) -> list[TaskRow]:
            await asyncio.sleep(2)
            return await super().declare(rows)

    async def scenario() -> None:
        log = Log()
        store = SlowStore(LoopClock(asyncio.get_running_loop()))
        process = Process("a", store, every(600, log.task(), at_start=True))
        await asyncio.sleep(10)
        assert log.began == near(2)
        await process.stop()

    in_virtual_time(scenario())


@pytest.mark.parametrize("off_s", [-3_600, -7, 7, 3_600])
def test_a_clock_that_is_stepped_changes_the_time_of_no_run(off_s: int) -> None:
    async def scenario() -> None:
        log = Log()
        store = MemoryTaskStore(LoopClock(asyncio.get_running_loop()))
        task = every(10, log.task(lasts_s=6), is_idempotent=True)
        stepped, other = Process("a", store, task), Process("b", store, task, leads=False)
        await asyncio.sleep(25)
        stepped.clock.off_ms = off_s * 1_000
        await asyncio.sleep(20)
        other.clock.off_ms = off_s * 1_000
        await asyncio.sleep(30)
        assert log.began == near(10, 20, 30, 40, 50, 60, 70)
        assert (row_of(store).lost, row_of(store).missed, row_of(store).overruns) == (0, 0, 0)
        await stepped.stop()
        await other.stop()

    in_virtual_time(scenario())


def test_a_process_that_ends_lets_its_runs_end_before_another_takes_them_for_lost() -> None:
    async def scenario() -> None:
        spans: list[tuple[float, float]] = []

        async def work() -> None:
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                await asyncio.sleep(30)
            finally:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.9)  # it closes what it has open
                spans.append((began, loop.time()))

        store = MemoryTaskStore(LoopClock(asyncio.get_running_loop()))
        task = every(60, work, is_idempotent=True, timeout_ms=50_000)
        ends, stays = Process("a", store, task), Process("b", store, task, leads=False)
        await asyncio.sleep(65.5)
        ends._running.cancel()
        await asyncio.sleep(45)
        (first, second) = spans
        assert first[1] <= second[0] < first[1] + 3
        await stays.stop()

    in_virtual_time(scenario())


def test_a_process_that_loses_the_lead_and_wins_it_again_goes_on_where_it_was() -> None:
    async def scenario() -> None:
        log = Log()
        store = MemoryTaskStore(LoopClock(asyncio.get_running_loop()))
        process = Process("a", store, every(60, log.task(lasts_s=10)))
        for at_s in (65, 130, 245):
            await asyncio.sleep(at_s - asyncio.get_running_loop().time())
            assert process._leading is not None
            process._leading.cancel()
            await asyncio.sleep(3)
            process.lead()
        await asyncio.sleep(60)
        assert log.began == near(60, 120, 180, 240, 300)
        await process.stop()

    in_virtual_time(scenario())


def test_a_process_that_was_away_counts_no_due_time_as_missed_that_another_ran() -> None:
    async def scenario() -> None:
        log = Log()
        store = MemoryTaskStore(LoopClock(asyncio.get_running_loop()))
        away, stays = (
            Process("a", store, every(60, log.task())),
            Process("b", store, every(60, log.task()), leads=False),
        )
        await asyncio.sleep(10)
        away.way.leads_to = Refusing()
        await asyncio.sleep(350)
        away.way.leads_to = store
        await asyncio.sleep(120)
        assert row_of(store).missed == row_of(store).overruns == 0
        assert [int(began // 60) for began in log.began] == [1, 2, 3, 4, 5, 6, 7]
        await away.stop()
        await stays.stop()

    in_virtual_time(scenario())


def test_a_process_that_ends_begins_none_of_the_tasks_that_wait_for_the_database() -> None:
    async def scenario() -> None:
        log = Log()
        store = FaultyStore()
        process = Process("a", store, *(every(60, log.task(), name=f"poll{number}") for number in range(100)))
        await asyncio.sleep(59)
        store.answers_after_s = 3
        await asyncio.sleep(2)
        await process.stop()
        assert len(log.began) == store.most_at_once == WRITES_MAX

    in_virtual_time(scenario())


def test_a_run_that_a_process_was_beginning_when_it_ended_holds_up_its_task_no_longer() -> None:
    async def scenario() -> None:
        log = Log()
        store = FaultyStore()
        task = every(60, log.task(), is_idempotent=True)
        ends, stays = Process("a", store, task), Process("b", store, task, leads=False)
        await asyncio.sleep(59)
        store.answers_after_s = 2
        await asyncio.sleep(2)
        ends._running.cancel()
        store.answers_after_s = 0
        await asyncio.sleep(4)
        assert [began // 1 for began in log.began] in ([62], [64])
        await stays.stop()

    in_virtual_time(scenario())
