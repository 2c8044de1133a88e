"""The old failure: a limiter that blocked for minutes stalled every task. It may stall its own task, and no other."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import pairwise

from structlog.testing import capture_logs

from tempogram.engine.scheduler.scheduler import Scheduler
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every
from tempogram.engine.services.calling.options import CallOptions
from tempogram.engine.services.catalogue import parse
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import Services
from tests.engine.scheduler.memory_tasks import MemoryTaskStore
from tests.engine.scheduler.test_scheduler import Log, every, near, row_of, running
from tests.virtual_time import LoopClock, in_virtual_time

SMALL = """
[x.operations]
tweet_lookup = {count = 2, window_ms = 900_000}
"""


def test_a_task_that_waits_minutes_for_its_budget_takes_no_other_its_time() -> None:
    async def scenario() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        limiter = MemoryCallLimiter(clock=clock, after_start=False)
        services = Services(parse(SMALL, "services.toml"), limiter, clock=clock)
        log = Log()

        async def look_up() -> None:
            for _ in range(3):
                await services.call_with(CallOptions(deadline_s=3_000), "x", "tweet_lookup", asyncio.sleep, 0)

        async with running(
            every(180, look_up, name="sweep", timeout_ms=3_600_000),
            every(60, log.task()),
            every(7, log.task(), name="b"),
        ) as store:
            await asyncio.sleep(3_610)
        assert row_of(store, "sweep").overruns == 10
        assert row_of(store).runs == 60
        assert row_of(store).overruns == row_of(store).missed == row_of(store, "b").missed == 0
        assert max(later - earlier for earlier, later in pairwise(log.began)) <= 7.02
        await limiter.close()

    in_virtual_time(scenario())


def test_a_task_that_waits_for_a_lock_for_ever_ends_at_its_time_limit_beside_the_others() -> None:
    async def scenario() -> None:
        log, lock = Log(), asyncio.Lock()
        await lock.acquire()

        async def waits() -> None:
            async with lock:
                pass

        async with running(every(60, waits, name="waits", timeout_ms=30_000), every(60, log.task())) as store:
            await asyncio.sleep(310)
        assert log.began == near(60, 120, 180, 240, 300)
        assert row_of(store, "waits").timed_out == 4

    in_virtual_time(scenario())


async def test_a_task_that_sleeps_in_the_loop_delays_the_others_once_and_then_only_itself() -> None:
    polite_ran, again = threading.Event(), threading.Event()
    runs: list[int] = []
    kept: list[bool] = []
    has_waited, loop = asyncio.Event(), asyncio.get_running_loop()

    async def rude() -> None:
        runs.append(1)
        if len(runs) == 1:
            time.sleep(1.6)  # noqa: ASYNC251 - what it must not do
        else:
            again.set()
            kept.append(polite_ran.wait(20))
            loop.call_soon_threadsafe(has_waited.set)

    begun: list[float] = []

    async def polite() -> None:
        if again.is_set():
            begun.append(asyncio.get_running_loop().time())
        if len(begun) == 5:
            polite_ran.set()

    tasks = (
        Task(name="rude", times=Every(400), work=rude, timeout_ms=60_000),
        Task(name="polite", times=Every(100), work=polite),
    )
    scheduler = Scheduler(tasks, MemoryTaskStore(), process="a", clock=lambda: time.time_ns() // 1_000_000)
    with capture_logs() as logs:
        going = [asyncio.create_task(scheduler.run()), asyncio.create_task(scheduler.lead())]
        async with asyncio.timeout(30):
            await has_waited.wait()
    for each in going:
        each.cancel()
    await asyncio.gather(*going, return_exceptions=True)

    assert kept[0]
    assert [log["task"] for log in logs if log["event"] == "task_blocks_loop"] == ["rude"]
