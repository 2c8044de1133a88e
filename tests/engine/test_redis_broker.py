"""The Redis broker keeps the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from engine.redis_broker import RedisBroker, connect
from tests.engine.broker_contract import LEASE_MS, BrokerContract, MakeBroker
from tests.fakes import Clock


@pytest.fixture
async def redis(empty_redis: str) -> AsyncIterator[Redis]:
    async with connect(empty_redis) as redis:
        yield redis


class TestRedisBroker(BrokerContract):
    @pytest.fixture
    def make(self, clock: Clock, redis: Redis) -> MakeBroker:
        return lambda limits: RedisBroker(redis, limits, lease_ms=LEASE_MS, clock=clock, begins=True)
