"""Connections to Redis break at any moment: what it did in an exchange may be unknown to the process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress

import pytest
from redis.asyncio import Redis

from tempogram.engine.services.redis.limiter import RedisCallLimiter
from tests.chaos.proxy import Proxy
from tests.engine.redis_server import connected, port_of
from tests.engine.services.limiter_contract import StrictService, taken
from tests.engine.services.queue_contract import limiter

AT_ONCE, COUNT, WINDOW_MS = 3, 20, 200


@pytest.fixture
async def proxy(empty_redis: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(port_of(empty_redis))
    async with proxy.serve():
        yield proxy


@pytest.fixture
async def limiters(proxy: Proxy) -> AsyncIterator[Sequence[RedisCallLimiter]]:
    """Three processes."""
    async with AsyncExitStack() as stack:
        processes = []
        for number in range(3):
            redis = await stack.enter_async_context(connected(f"redis://127.0.0.1:{proxy.port}/0"))
            processes.append(RedisCallLimiter(redis, f"p{number}"))
            stack.push_async_callback(processes[-1].close)
        yield processes


async def break_connections(proxy: Proxy, chance: random.Random, times: int) -> None:
    """Break them in the middle of exchanges: what was said has arrived, and the answer is lost, or neither has."""
    for _ in range(times):
        await asyncio.sleep(chance.uniform(0.01, 0.3))
        if chance.random() < 0.5:
            proxy.stall()
            await asyncio.sleep(chance.uniform(0, 0.05))
        proxy.cut()
        proxy.mend()


async def impatient(service: StrictService, number: int, chance: random.Random) -> None:
    """Make a call; some callers give up meanwhile."""
    with suppress(TimeoutError):
        await asyncio.wait_for(service.call(number), chance.choice((0.2, 1.0, 60.0, 60.0, 60.0)))


@pytest.mark.parametrize("seed", range(3))
async def test_no_limit_is_broken_and_no_place_is_lost(
    proxy: Proxy, redis: Redis, limiters: Sequence[RedisCallLimiter], seed: int
) -> None:
    chance, one = random.Random(seed), limiter(concurrency=AT_ONCE, count=COUNT, window_ms=WINDOW_MS)
    service = StrictService(limiters, one)
    harm = asyncio.create_task(break_connections(proxy, chance, 12))

    async with asyncio.timeout(60):
        while not harm.done():
            await asyncio.gather(*(impatient(service, number, chance) for number in range(30)))

    assert service.most_running <= AT_ONCE
    assert service.most_within(WINDOW_MS) <= COUNT
    async with asyncio.timeout(30):
        for _ in range(AT_ONCE):
            await taken(limiters, one)
    assert await redis.hlen("{svc0}:calls") == AT_ONCE
