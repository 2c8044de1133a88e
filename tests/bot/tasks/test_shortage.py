from __future__ import annotations

import pytest

from tempogram.bot.tasks.shortage import Shortage
from tempogram.engine.model.messages import Priority
from tempogram.engine.ports.broker import QueueStats
from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Every
from tempogram.engine.services.catalogue import service_of
from tempogram.engine.services.errors import UnknownService
from tempogram.engine.services.limiter import MemoryCallLimiter
from tempogram.engine.services.services import Services
from tests.fakes import Clock

SERVICES = {
    "x": service_of(
        "x",
        {
            "count": 12,
            "window_ms": 900_000,
            "operations": {"mentions": {"count": 10, "window_ms": 900_000}, "post": {}},
        },
    )
}


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        limiter = MemoryCallLimiter(clock=self.clock, after_start=False)
        self.services = Services(SERVICES, limiter, clock=self.clock)
        self.waiting = 0
        self.shortage = Shortage(self.services, self._stats, clock=self.clock)

    async def is_short(self, **uses: int) -> bool:
        named = {name.replace("_", ":"): calls for name, calls in uses.items()}
        return await self.shortage.of(Task(name="poll", times=Every(60_000), work=print, uses=named))

    async def call(self, operation: str, times: int) -> None:
        for _ in range(times):
            await self.services.call("x", operation, once)

    async def _stats(self) -> QueueStats:
        return QueueStats(waiting={Priority.LOW: self.waiting}, retry=1, leased=0)


@pytest.fixture
def world() -> World:
    return World()


async def once() -> None:
    pass


async def test_a_budget_is_short_once_it_has_less_than_a_run_needs(world: World) -> None:
    await world.call("mentions", 8)

    assert not await world.is_short(x_mentions=2)
    assert await world.is_short(x_mentions=3)


async def test_a_budget_is_not_short_any_more_when_its_window_is_over(world: World) -> None:
    await world.call("mentions", 10)
    assert await world.is_short(x_mentions=1)

    world.clock.advance(900_001)

    assert not await world.is_short(x_mentions=1)


async def test_a_run_that_needs_more_than_the_whole_budget_is_short_only_while_some_is_used(world: World) -> None:
    assert not await world.is_short(x_mentions=30)
    await world.call("mentions", 1)
    assert await world.is_short(x_mentions=30)


async def test_an_operation_is_short_when_its_service_is(world: World) -> None:
    await world.call("post", 12)

    assert await world.is_short(x_mentions=1)


async def test_an_operation_that_is_held_is_short(world: World) -> None:
    world.services.hold("x", "mentions", for_ms=60_000, by="by hand")

    assert await world.is_short(x_mentions=1)
    assert not await world.is_short(x_post=1)


async def test_the_queue_is_short_while_a_thousand_messages_wait(world: World) -> None:
    assert not await world.is_short(telegram=5)
    world.waiting = 999

    assert await world.is_short(telegram=5)


async def test_an_operation_that_there_is_not_is_named(world: World) -> None:
    with pytest.raises(UnknownService, match="x has no operation 'mention'"):
        await world.is_short(x_mention=1)
