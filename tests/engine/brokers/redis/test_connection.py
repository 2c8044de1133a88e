"""A client of a test leaves no connection open, whatever still uses it."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.engine.redis_server import connected


def open_connections(redis: Redis) -> int:
    pool = redis.connection_pool
    return sum(each.is_connected for each in (*pool._available_connections, *pool._in_use_connections))


async def calls_for_ever(redis: Redis) -> None:
    """Go on as a killed process's batch does, which does not know that its process was killed."""
    while True:
        try:
            await redis.ping()
        except RedisError:
            await asyncio.sleep(0)


async def test_what_goes_on_after_its_test_is_over_leaves_no_connection_open(empty_redis: str) -> None:
    async with connected(empty_redis) as redis:
        going_on = [asyncio.create_task(calls_for_ever(redis)) for _ in range(5)]
        await asyncio.sleep(0)  # each is about to connect

    for _ in range(100):
        await asyncio.sleep(0)
        assert open_connections(redis) == 0

    for each in going_on:
        each.cancel()
    await asyncio.gather(*going_on, return_exceptions=True)


async def test_a_command_that_waits_for_long_ends_with_the_connection(empty_redis: str) -> None:
    async with connected(empty_redis) as redis:
        waiting = asyncio.create_task(wait_for_ever(redis))
        while not open_connections(redis):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)

    assert isinstance(await waiting, RedisError)
    assert open_connections(redis) == 0


async def wait_for_ever(redis: Redis) -> RedisError | None:
    """Return the error that ends it."""
    try:
        await redis.execute_command("BLPOP", "nothing", 600)  # type: ignore[no-untyped-call]
    except RedisError as error:
        return error
    return None
