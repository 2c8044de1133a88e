"""An interval that may be stretched, on the limits of a service that another program uses, too."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from tempogram.bot.tasks.shortage import Shortage
from tempogram.engine.ports.broker import QueueStats
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every
from tempogram.engine.services.calling.options import CallOptions
from tempogram.engine.services.catalogue import parse
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import Services
from tests.engine.scheduler.memory_tasks import MemoryTaskStore
from tests.engine.scheduler.test_scheduler import Log, Process, row_of
from tests.virtual_time import LoopClock, in_virtual_time

SMALL = """
[x.operations]
tweet_lookup = {count = 4, window_ms = 900_000}
"""


def test_an_interval_is_stretched_in_all_processes_while_another_program_uses_the_budget_up() -> None:
    async def scenario() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        limiter = MemoryCallLimiter(clock=clock, after_start=False)
        services = Services(parse(SMALL, "services.toml"), limiter, clock=clock)
        store, log = MemoryTaskStore(clock), Log()
        poll = Task(name="poll", times=Every(120_000, 600_000), work=log.task(), uses={"x:tweet_lookup": 1})
        short = Shortage(services, empty_queue, clock=clock).of
        others = asyncio.create_task(use_up(services, until_s=3_600))
        first = Process("a", store, poll, is_short=short)
        await asyncio.sleep(2_000)
        await first.stop()
        second = Process("b", store, poll, is_short=short)
        await asyncio.sleep(5_500)
        apart = [round(later - earlier) for earlier, later in pairwise(log.began)]
        assert apart[:5] == [180, 270, 405, 600, pytest.approx(600, abs=1)]
        assert apart[-4:] == [pytest.approx(120, abs=1)] * 4
        assert row_of(store).missed == 0
        await second.stop()
        others.cancel()
        await limiter.close()

    in_virtual_time(scenario())


async def use_up(services: Services, *, until_s: float) -> None:
    loop = asyncio.get_running_loop()
    while loop.time() < until_s:
        await services.call_with(CallOptions(deadline_s=10_000), "x", "tweet_lookup", asyncio.sleep, 0)


async def empty_queue() -> QueueStats:
    return QueueStats(waiting={}, retry=0, leased=0)
