"""The memory broker keeps the contract, and so does the model it is judged by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.limits import Limit, Limits
from engine.memory_broker import MemoryBroker
from engine.messages import Priority
from tests.engine.broker_contract import LEASE_MS, BrokerContract, MakeBroker, many, queue, send_all
from tests.engine.naive_broker import NaiveBroker
from tests.fakes import Clock


class TestMemoryBroker(BrokerContract):
    @pytest.fixture
    def make(self, clock: Clock) -> MakeBroker:
        return lambda limits: MemoryBroker(limits, clock=clock, lease_ms=LEASE_MS)

    async def test_memory_returns_after_the_backlog_is_gone(self, clock: Clock, make: MakeBroker) -> None:
        broker = make(Limits())
        assert isinstance(broker, MemoryBroker)
        empty = broker.size()
        for priority in Priority:
            await queue(broker, many(300, prefix=priority, priority=priority))
        full = broker.size()

        sent = await send_all(broker, clock, for_ms=60_000)
        clock.advance(120_000)
        await send_all(broker, clock, for_ms=1)

        assert len(sent) == 900
        assert (full, broker.size()) == (1_800, empty)

    async def test_users_are_forgotten_when_their_window_has_passed(self, clock: Clock, make: MakeBroker) -> None:
        broker = make(Limits(user=Limit(5, 60_000)))
        assert isinstance(broker, MemoryBroker)
        await queue(broker, [replace(each, user_id=500 + n % 30) for n, each in enumerate(many(100))])

        sent = await send_all(broker, clock, for_ms=60_000)
        clock.advance(240_000)
        await send_all(broker, clock, for_ms=1)

        assert (len(sent), broker.size()) == (100, 0)


class TestNaiveBroker(BrokerContract):
    @pytest.fixture
    def make(self, clock: Clock) -> MakeBroker:
        return lambda limits: NaiveBroker(limits, clock=clock, lease_ms=LEASE_MS)
