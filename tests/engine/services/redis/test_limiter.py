from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.services.calls import Call
from tempogram.engine.services.limiter import CallLimiter
from tempogram.engine.services.redis.limiter import RedisCallLimiter
from tempogram.engine.services.redis.queue import Heard, RedisCallQueue
from tests.engine.redis_server import connected
from tests.engine.services.limiter_contract import CallLimiterContract, KeptInAList, taken
from tests.engine.services.queue_contract import call, limiter
from tests.fakes import Clock


@pytest.fixture
def kept() -> KeptInAList:
    return KeptInAList()


@pytest.fixture
async def limiters(empty_redis: str, kept: KeptInAList) -> AsyncIterator[Sequence[RedisCallLimiter]]:
    """Two processes."""
    async with connected(empty_redis) as first, connected(empty_redis) as second:
        both = [RedisCallLimiter(redis, name, uses=kept) for redis, name in ((first, "p1"), (second, "p2"))]
        yield both
        for each in both:
            await each.close()


class TestRedisCallLimiter(CallLimiterContract):
    @pytest.fixture
    def limiters(self, limiters: Sequence[RedisCallLimiter]) -> Sequence[CallLimiter]:
        return limiters


async def test_a_call_waits_while_redis_is_away_and_begins_when_it_is_back(
    redis: Redis, limiters: Sequence[RedisCallLimiter]
) -> None:
    one = limiter(concurrency=1)
    first = await taken(limiters, one)
    await redis.config_set("maxmemory", 1)  # it refuses to write
    limiters[0].end(first)
    waiting = asyncio.create_task(limiters[1].begin(call("", one)))
    await asyncio.sleep(0.2)
    assert not waiting.done()

    await redis.config_set("maxmemory", 0)

    await asyncio.wait_for(waiting, 30)


async def test_what_waits_is_begun_by_another_process_at_once(limiters: Sequence[RedisCallLimiter]) -> None:
    one = limiter(concurrency=1)
    first = await taken(limiters, one)
    waiting = asyncio.create_task(limiters[1].begin(call("", one)))
    await asyncio.sleep(0.05)

    limiters[0].end(first)

    await asyncio.wait_for(waiting, 30)


async def test_a_process_says_times_by_a_clock_of_its_own(redis: Redis, clock: Clock) -> None:
    failing: dict[str, int] = {}
    here, one = Clock(clock() - 60_000), limiter(concurrency=1)
    processes = [
        RedisCallLimiter(redis, name, clock=clock, here=here, on_failing=failing.__setitem__) for name in ("p1", "p2")
    ]
    for each in processes:
        each.change(one)
        await each.settled()

    processes[0].hold(one, here() + 5_000, "a test")
    for each in processes:
        each.fails(one, here() + 7_000, 1)
        await each.settled()

    assert (await processes[0].states([one]))[0].held_until_ms == clock() + 7_000
    assert failing == {"service": here() + 7_000}
    for each in processes:
        await each.close()


class LosesAnswer:
    """The queue of a process, whose next exchange arrives, and is not answered."""

    def __init__(self, queue: RedisCallQueue) -> None:
        self.queue = queue
        self.is_lost = False

    async def say(self, words: Sequence[Any], calls: Sequence[Call] = (), *, asks_again: bool = False) -> Heard:
        heard = await self.queue.say(words, calls, asks_again=asks_again)
        if not self.is_lost:
            self.is_lost = True
            raise BrokerUnavailable("the answer was lost")
        return heard


async def test_a_call_that_an_answer_let_begin_begins_though_the_answer_was_lost(
    limiters: Sequence[RedisCallLimiter], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = limiter(concurrency=1)
    first = await taken(limiters, one)
    waiting = asyncio.create_task(limiters[0].begin(call("", one)))
    await asyncio.sleep(0.05)
    loses = LosesAnswer(limiters[0]._queue)
    monkeypatch.setattr(limiters[0], "_queue", loses)

    limiters[0].end(first)

    await asyncio.wait_for(waiting, 30)
    assert loses.is_lost


async def test_closing_does_not_wait_for_a_redis_that_is_away(
    redis: Redis, limiters: Sequence[RedisCallLimiter]
) -> None:
    first = await taken(limiters, limiter(concurrency=1))
    await redis.config_set("maxmemory", 1)  # it refuses to write
    limiters[0].end(first)

    try:
        await asyncio.wait_for(limiters[0].close(), 30)
    finally:
        await redis.config_set("maxmemory", 0)
