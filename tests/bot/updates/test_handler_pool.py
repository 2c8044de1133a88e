"""A bounded number of handlers runs at once, and one after another for each chat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tempogram.bot.updates.handler_pool import HandlerPool
from tests.engine.desk import turns


class Jobs:
    """Jobs that wait until they may end, and note which run."""

    def __init__(self) -> None:
        self.running: set[str] = set()
        self.begun: list[str] = []
        self.most = 0
        self._gates: dict[str, asyncio.Event] = {}

    def job(self, name: str) -> Callable[[], Awaitable[None]]:
        gate = self._gates[name] = asyncio.Event()

        async def run() -> None:
            self.begun.append(name)
            self.running.add(name)
            self.most = max(self.most, len(self.running))
            await gate.wait()
            self.running.discard(name)

        return run

    async def end(self, *names: str) -> None:
        for name in names:
            self._gates[name].set()
        await turns()


async def test_no_more_jobs_run_than_the_pools_size() -> None:
    pool, jobs = HandlerPool(size=3, waiting_max=100, apart_s=0), Jobs()
    names = [f"job {number}" for number in range(10)]
    for name in names:
        pool.submit(name, jobs.job(name))
    await turns()

    running = len(jobs.running)
    await jobs.end(*names)
    await pool.drain()

    assert (running, jobs.most, len(jobs.begun)) == (3, 3, 10)


async def test_jobs_of_one_key_run_one_after_another_in_their_order() -> None:
    pool, jobs = HandlerPool(size=3, waiting_max=100, apart_s=0), Jobs()
    for name in ("a1", "a2", "b1"):
        pool.submit(name[0], jobs.job(name))
    await turns()

    at_first = set(jobs.running)
    await jobs.end("a1")
    then = set(jobs.running)
    await jobs.end("a2", "b1")
    await pool.drain()

    assert at_first == {"a1", "b1"}
    assert then == {"a2", "b1"}


async def test_an_idle_key_takes_new_jobs() -> None:
    pool, jobs = HandlerPool(size=1, waiting_max=100, apart_s=0), Jobs()
    for name in ("first", "second"):
        pool.submit("a", jobs.job(name))
        await jobs.end(name)
        await pool.drain()

    assert jobs.begun == ["first", "second"]


async def test_a_pool_is_full_by_its_waiting_jobs_only() -> None:
    pool, jobs = HandlerPool(size=1, waiting_max=1, apart_s=0), Jobs()
    pool.submit("a", jobs.job("a"))
    await turns()
    before = pool.is_full
    pool.submit("b", jobs.job("b"))

    full = pool.is_full
    await jobs.end("a")
    after = pool.is_full
    await jobs.end("b")

    assert (before, full, after) == (False, True, False)


async def test_a_job_that_raises_does_not_stop_the_jobs_behind_it() -> None:
    pool, jobs = HandlerPool(size=1, waiting_max=9, apart_s=0), Jobs()

    async def fail() -> None:
        raise ZeroDivisionError

    pool.submit("a", fail)
    pool.submit("a", jobs.job("next"))
    await turns()
    await jobs.end("next")
    await pool.drain()

    assert jobs.begun == ["next"]


async def test_a_cancelled_pool_ends() -> None:
    pool, jobs = HandlerPool(size=1, waiting_max=9, apart_s=0), Jobs()
    before = asyncio.all_tasks()
    pool.submit("a", jobs.job("a"))
    await turns()

    tasks = asyncio.all_tasks() - before
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=5)

    assert all(task.cancelled() for task in tasks)


async def test_the_starts_of_many_jobs_are_spaced_so_that_other_tasks_run_in_between() -> None:
    pool = HandlerPool(size=10, waiting_max=10, apart_s=3_600)  # longer than any test: it passes when we say so
    started: list[int] = []
    seen: list[list[int]] = []

    async def job(number: int) -> None:
        started.append(number)

    for number in range(3):
        pool.submit(number, lambda number=number: job(number))  # type: ignore[misc]
    for _ in range(3):
        await turns()
        seen.append(list(started))
        pool._starting.release()
    await pool.drain()

    assert seen == [[0], [0, 1], [0, 1, 2]]
