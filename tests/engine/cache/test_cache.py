from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from tempogram.engine.cache.cache import Cache
from tempogram.engine.cache.memory_backend import MemoryBackend
from tempogram.engine.cache.redis_backend import RedisBackend
from tempogram.engine.cache.store import CacheStore
from tests.engine.cache.cache_contract import CacheContract
from tests.fakes import Clock


class TestCacheInMemory(CacheContract):
    @pytest.fixture
    async def caches(self, clock: Clock) -> AsyncIterator[Sequence[Cache]]:
        store = CacheStore(MemoryBackend(16 << 20), clock=clock)
        await store.open()
        cache = Cache(store, clock=clock)
        yield [cache]
        await cache.close()
        await store.close()


class TestCacheInRedis(CacheContract):
    """Two processes."""

    @pytest.fixture
    async def caches(self, clock: Clock, empty_redis: str) -> AsyncIterator[Sequence[Cache]]:
        stores = [CacheStore(RedisBackend(empty_redis, 16 << 20), clock=clock) for _ in range(2)]
        caches = [Cache(store, clock=clock) for store in stores]
        for store in stores:
            await store.open()
        yield caches
        for cache, store in zip(caches, stores, strict=True):
            await cache.close()
            await store.close()
