"""One Redis for all tests of the engine, emptied for each, and a ``Desk``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from tests.engine.desk import Desk
from tests.engine.redis_server import connected, own_redis


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with own_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def empty_redis(redis_url: str) -> str:
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    return redis_url


@pytest.fixture
async def redis(empty_redis: str) -> AsyncIterator[AsyncRedis]:
    async with connected(empty_redis) as redis:
        yield redis


@pytest.fixture
async def desk() -> Desk:
    return Desk()
