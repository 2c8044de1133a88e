from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from redis.asyncio import Redis

from tempogram.engine.services.limiter import CallLimiter
from tempogram.engine.services.redis.limiter import RedisCallLimiter
from tests.engine.redis_server import connected
from tests.engine.services.limiter_contract import CallLimiterContract, KeptInAList, taken
from tests.engine.services.queue_contract import call, limiter


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
