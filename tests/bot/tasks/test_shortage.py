from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest

from tempogram.bot.tasks.shortage import BACKLOG, Shortage
from tempogram.engine.model.messages import Priority
from tempogram.engine.ports.broker import QueueStats
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every
from tempogram.engine.services.calling.options import CallOptions
from tempogram.engine.services.catalogue import parse
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import Services
from tests.engine.scheduler.memory_tasks import MemoryTaskStore
from tests.engine.scheduler.test_scheduler import Log, Process, row_of
from tests.fakes import Clock
from tests.virtual_time import LoopClock, in_virtual_time

DECLARED = """
[x.operations]
tweet_lookup = {count = 4, window_ms = 900_000}
"""


@dataclass
class Waiting:
    """A queue of which only the length is asked."""

    messages: int = 0

    async def stats(self) -> QueueStats:
        return QueueStats(waiting={Priority.NORMAL: self.messages}, retry=0, leased=0)


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    clock = Clock()
    limiter = MemoryCallLimiter(clock=clock, after_start=False)
    yield Services(parse(DECLARED, "services.toml"), limiter, clock=clock)
    await limiter.close()


def task(**uses: int) -> Task:
    named = {name.replace("__", ":"): calls for name, calls in uses.items()}
    return Task(name="poll", times=Every(120_000, 600_000), work=print, uses=named)


async def test_a_budget_is_short_when_less_is_left_than_the_next_run_takes(services: Services) -> None:
    short = Shortage(services, Waiting())  # type: ignore[arg-type]

    assert not await short(task(x__tweet_lookup=4))
    for _ in range(3):
        await services.call("x", "tweet_lookup", answer)
    assert await short(task(x__tweet_lookup=2))
    assert not await short(task(x__tweet_lookup=1))


async def test_a_service_that_is_held_or_fails_is_short(services: Services) -> None:
    short = Shortage(services, Waiting())  # type: ignore[arg-type]

    services.hold("x", "tweet_lookup", until_ms=Clock()() + 60_000, by="a test")
    assert await short(task(x__tweet_lookup=1))
    services.release("x", "tweet_lookup")
    assert not await short(task(x__tweet_lookup=1))


async def test_the_queue_is_short_while_many_messages_wait(services: Services) -> None:
    queue = Waiting()
    short = Shortage(services, queue)  # type: ignore[arg-type]

    assert not await short(task(telegram=1))
    queue.messages = BACKLOG
    assert await short(task(telegram=1))
    assert not await short(task())


async def test_a_service_that_is_not_declared_is_not_short(services: Services) -> None:
    assert not await Shortage(services, Waiting())(task(y__posts=1))  # type: ignore[arg-type]


def test_an_interval_is_stretched_in_all_processes_while_another_program_uses_the_budget_up() -> None:
    async def scenario() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        limiter = MemoryCallLimiter(clock=clock, after_start=False)
        services = Services(parse(DECLARED, "services.toml"), limiter, clock=clock)
        store, log = MemoryTaskStore(clock), Log()
        poll = replace(task(x__tweet_lookup=1), work=log.task())
        short = Shortage(services, Waiting())  # type: ignore[arg-type]
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
        await services.call_with(CallOptions(deadline_s=10_000), "x", "tweet_lookup", answer)


async def answer() -> None: ...
