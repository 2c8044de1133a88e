from __future__ import annotations

import asyncio
import threading
import time

from structlog.testing import capture_logs

from tempogram.engine.scheduler.scheduler import Scheduler
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every
from tests.engine.scheduler.memory_tasks import MemoryTaskStore


async def test_a_task_that_blocks_the_loop_is_named_and_runs_in_a_thread_of_its_own_from_then_on() -> None:
    threads: list[str] = []
    ran = asyncio.Event()

    async def blocks() -> None:
        threads.append(threading.current_thread().name)
        if len(threads) == 1:
            time.sleep(1.6)  # noqa: ASYNC251 - what it must not do
        else:
            loop.call_soon_threadsafe(ran.set)

    loop = asyncio.get_running_loop()
    task = Task(name="rude", times=Every(400), work=blocks)
    scheduler = Scheduler([task], MemoryTaskStore(), process="a", clock=lambda: time.time_ns() // 1_000_000)
    with capture_logs() as logs:
        async with asyncio.timeout(20):
            running = [asyncio.create_task(scheduler.run()), asyncio.create_task(scheduler.lead())]
            await ran.wait()
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)

    named = next(log for log in logs if log["event"] == "task_blocks_loop")
    assert named["task"] == "rude"
    assert "test_watchdog.py" in named["at"]
    assert threads[1] == "task rude"


async def test_a_plain_function_runs_in_a_thread_and_blocks_no_other_task() -> None:
    began: list[float] = []
    enough = asyncio.Event()

    def blocks() -> None:
        time.sleep(1.5)

    async def polite() -> None:
        began.append(asyncio.get_running_loop().time())
        if len(began) == 5:
            enough.set()

    tasks = Task(name="rude", times=Every(200), work=blocks), Task(name="polite", times=Every(200), work=polite)
    scheduler = Scheduler(tasks, MemoryTaskStore(), process="a", clock=lambda: time.time_ns() // 1_000_000)
    with capture_logs() as logs:
        async with asyncio.timeout(20):
            running = [asyncio.create_task(scheduler.run()), asyncio.create_task(scheduler.lead())]
            await enough.wait()
    for each in running:
        each.cancel()
    await asyncio.gather(*running, return_exceptions=True)

    assert not [log for log in logs if log["event"] == "task_blocks_loop"]
