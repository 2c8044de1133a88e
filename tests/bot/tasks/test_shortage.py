from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tempogram.bot.tasks.shortage import BACKLOG, Shortage
from tempogram.engine.model.messages import Priority
from tempogram.engine.ports.broker import QueueStats
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every
from tempogram.engine.services.catalogue import parse
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import Services
from tests.fakes import Clock

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


async def answer() -> None: ...
