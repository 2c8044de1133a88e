"""The Redis broker on fakeredis: a short contract always, the whole one where there is no redis-server."""

from __future__ import annotations

import shutil

import pytest

from tempogram.engine.brokers.redis.broker import RedisBroker
from tests.engine.brokers.contract import BrokerContract, ShortContract
from tests.engine.brokers.contract.steps import LEASE_MS, MakeBroker
from tests.engine.fake_redis import RedisInProcess
from tests.fakes import Clock


class InProcess:
    @pytest.fixture
    def make(self, clock: Clock) -> MakeBroker:
        redis = RedisInProcess()
        return lambda limits: RedisBroker(redis, limits, lease_ms=LEASE_MS, clock=clock, begins=True)


class TestRedisBrokerInProcess(InProcess, ShortContract):
    pass


if shutil.which("redis-server") is None:

    class TestWholeRedisBrokerInProcess(InProcess, BrokerContract):
        pass
