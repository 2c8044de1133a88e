from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tempogram.engine.cache.keys import EntryName
from tempogram.engine.cache.redis_backend import DROP_MAX, PREFIX, RedisBackend
from tempogram.engine.cache.store import CacheStore
from tests.fakes import Clock

KILOBYTE = b"x" * 1_000


@pytest.fixture
async def backend(empty_redis: str) -> AsyncIterator[RedisBackend]:
    backend = RedisBackend(empty_redis, 20_000)
    await CacheStore(backend, clock=Clock()).open()
    yield backend
    await backend.close()


async def kept(backend: RedisBackend, group: str, key: str, for_ms: int = 60_000) -> list[str]:
    return await backend.keep(f"{PREFIX}entry:{group}:{key}", EntryName(group, key), KILOBYTE, for_ms)


async def test_the_group_that_has_most_makes_room(backend: RedisBackend, redis: Redis) -> None:
    await kept(backend, "pay", "1")

    dropped = [group for number in range(100) for group in await kept(backend, "films", str(number))]

    assert set(dropped) == {"films"}
    assert await redis.exists(f"{PREFIX}entry:pay:1")
    there = len(await redis.keys(f"{PREFIX}entry:films:*"))
    assert there == 100 - len(dropped)
    total = sum(map(int, await redis.hvals(f"{PREFIX}totals")))
    assert total <= 20_000 < total + 1_200


async def test_what_expires_first_goes_first(backend: RedisBackend, redis: Redis) -> None:
    for number in range(18):
        await kept(backend, "films", str(number), 60_000 + number)

    await kept(backend, "films", "last", 1_000_000)

    assert not await redis.exists(f"{PREFIX}entry:films:0")
    assert await redis.exists(f"{PREFIX}entry:films:17", f"{PREFIX}entry:films:last") == 2


async def test_one_large_entry_drops_no_more_than_a_bounded_number_of_others(
    backend: RedisBackend, redis: Redis
) -> None:
    for number in range(130):
        name = EntryName("films", str(number))
        await backend.keep(f"{PREFIX}entry:films:{number}", name, b"1", 60_000)

    dropped = await backend.keep(f"{PREFIX}entry:pay:1", EntryName("pay", "1"), b"x" * 15_000, 60_000)

    assert 0 < len(dropped) <= DROP_MAX


async def test_every_key_begins_with_the_prefix_and_goes_by_itself(backend: RedisBackend, redis: Redis) -> None:
    await kept(backend, "films", "1", 500)

    keys = [str(key, "ascii") for key in await redis.keys("*") if isinstance(key, bytes)]

    assert keys
    assert all(key.startswith("tempogram:cache:") for key in keys)
    lasting = [key for key in keys if await redis.pttl(key) < 0]
    assert lasting == [f"{PREFIX}totals"]  # a number for each operation


async def test_what_expired_counts_no_more_for_its_group(backend: RedisBackend, redis: Redis) -> None:
    for number in range(10):
        await kept(backend, "films", str(number), 30)
    while await redis.exists(f"{PREFIX}kept:films"):
        await redis.ping()

    await kept(backend, "films", "new")

    assert int(await redis.hget(f"{PREFIX}totals", "films") or 0) < 2_000
