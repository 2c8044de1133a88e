from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from tempogram.engine.cache.cache import GRACE_MS, LEASE_MS, Cache
from tempogram.engine.cache.keys import EntryName
from tempogram.engine.cache.memory_backend import MemoryBackend
from tempogram.engine.cache.options import CacheOptions
from tempogram.engine.cache.redis_backend import PREFIX, RedisBackend
from tempogram.engine.cache.store import TAGS, CacheStore, StoreAway
from tempogram.engine.model.clock import SystemClock
from tests.engine.cache.cache_contract import PLAIN, TEA, Shop
from tests.fakes import Clock

AWAY = "redis://127.0.0.1:1/0"


@pytest.fixture
async def store(empty_redis: str) -> AsyncIterator[CacheStore]:
    store = CacheStore(RedisBackend(empty_redis, 1 << 20), clock=SystemClock())
    await store.open()
    yield store
    await store.close()


async def test_a_tag_that_was_dropped_brings_nothing_back() -> None:
    store = CacheStore(MemoryBackend(30_000), clock=Clock())
    cache, shop = Cache(store, clock=Clock()), Shop()
    await cache.get_or_set(TEA, shop.price, CacheOptions(ttl_s=60, tags=("anna",)))
    await cache.forget(tags=["anna"])

    await cache.forget(tags=[f"user {number}" for number in range(500)])  # more than there is room for

    assert (await store.read(EntryName(TAGS, "tag:anna"), ())).entry is None
    assert await cache.get_or_set(TEA, shop.price, CacheOptions(ttl_s=60, tags=("anna",))) == {"price": 2}


async def test_what_stands_in_redis_is_json_and_what_is_none_is_a_miss(store: CacheStore, redis: Redis) -> None:
    cache, shop = Cache(store, clock=SystemClock()), Shop()
    await cache.get_or_set(TEA, shop.price, PLAIN)
    key = f"{PREFIX}entry:shop:price:tea"

    text = await redis.get(key)
    assert isinstance(text, bytes)
    assert text.startswith(b'{"value":{"price":1},"made_ms":')
    for wrong in (b"\x80\x05cposix\nsystem\n.", b"7", b"{", b""):
        await redis.set(key, wrong)
        await cache.get_or_set(TEA, shop.price, PLAIN)
    assert shop.asked == 5


async def test_an_answer_is_computed_where_redis_is_away() -> None:
    clock = Clock()
    store = CacheStore(RedisBackend(AWAY, 1 << 20), clock=clock)
    await store.open()
    cache, shop = Cache(store, clock=clock), Shop()
    shop.open.clear()
    waiting = [asyncio.create_task(cache.get_or_set(TEA, shop.price, PLAIN)) for _ in range(100)]
    await asyncio.sleep(0.05)
    shop.open.set()

    assert await asyncio.gather(*waiting) == [{"price": 1}] * 100
    with pytest.raises(StoreAway):
        await cache.forget([TEA])
    await store.close()


class Counted(RedisBackend):
    """Counts how often Redis is asked."""

    asked = 0

    async def get_many(self, *keys: str, default: Any = None) -> tuple[Any, ...]:
        self.asked += 1
        return await super().get_many(*keys, default=default)


async def test_a_redis_that_is_away_is_asked_once_a_second() -> None:
    clock, backend = Clock(), Counted(AWAY, 1 << 20)
    store = CacheStore(backend, clock=clock)
    await store.open()
    asked = []
    for after_ms in (0, 0, 999, 1):
        clock.advance(after_ms)
        with pytest.raises(StoreAway):
            await store.read(TEA, ())
        asked.append(backend.asked)

    assert asked == [1, 1, 1, 2]


async def test_a_redis_emptied_in_the_middle_makes_no_second_computation(store: CacheStore, redis: Redis) -> None:
    caches, shop = [Cache(store, clock=SystemClock()) for _ in range(2)], Shop()
    shop.open.clear()
    waiting = [asyncio.create_task(cache.get_or_set(TEA, shop.price, PLAIN)) for cache in caches for _ in range(10)]
    await asyncio.sleep(0.1)

    await redis.flushdb()
    await asyncio.sleep(GRACE_MS / 1_000 + 0.5)
    shop.open.set()

    assert await asyncio.gather(*waiting) == [{"price": 1}] * 20
    assert shop.asked == 1


async def test_what_a_killed_process_computed_is_computed_by_another(store: CacheStore) -> None:
    await store.lock(TEA, "killed", LEASE_MS)
    cache, shop = Cache(store, clock=SystemClock()), Shop()

    async with asyncio.timeout((LEASE_MS + GRACE_MS) / 1_000 + 2):
        assert await cache.get_or_set(TEA, shop.price, PLAIN) == {"price": 1}


async def test_a_lock_is_held_for_as_long_as_the_computation_takes(store: CacheStore) -> None:
    caches, shop = [Cache(store, clock=SystemClock()) for _ in range(2)], Shop()
    shop.open.clear()
    waiting = [asyncio.create_task(cache.get_or_set(TEA, shop.price, PLAIN)) for cache in caches]
    await asyncio.sleep(LEASE_MS / 1_000 + 1)
    shop.open.set()

    assert await asyncio.gather(*waiting) == [{"price": 1}] * 2
    assert shop.asked == 1
