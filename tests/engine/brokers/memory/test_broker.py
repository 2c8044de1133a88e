"""The memory broker keeps the contract, and so does the model it is judged by."""

from __future__ import annotations

import gc
import weakref

import pytest
from msgspec import structs

from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.brokers.memory.queue import STALE_KEPT
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.batching import batches
from tempogram.engine.model.messages import Priority
from tempogram.engine.ports.broker import BATCH_MAX
from tests.engine.brokers.contract import BrokerContract
from tests.engine.brokers.contract.steps import LEASE_MS, MakeBroker, many, queue, send_all
from tests.engine.brokers.naive_broker import NaiveBroker
from tests.fakes import START_MS, Clock

FAR_MS = START_MS + 86_400_000


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

    @pytest.mark.parametrize("times", [{"ready_at_ms": FAR_MS}, {"expires_at_ms": FAR_MS}])
    async def test_memory_returns_though_what_was_cancelled_had_a_far_time(
        self, clock: Clock, make: MakeBroker, times: dict[str, int]
    ) -> None:
        broker = make(Limits())
        assert isinstance(broker, MemoryBroker)
        messages = [structs.replace(each, **times) for each in many(5_000)]
        await queue(broker, messages)
        full = broker.size()

        for batch in batches([each.id for each in messages], BATCH_MAX):
            assert all(await broker.cancel(batch))
        clock.advance(120_000)
        await broker.lease(worker_id="w", slots=0)

        assert full > 10_000
        assert broker.size() <= 2 * STALE_KEPT

    async def test_chats_that_are_forgotten_need_no_garbage_collector(self, clock: Clock, make: MakeBroker) -> None:
        broker = make(Limits())
        assert isinstance(broker, MemoryBroker)
        await queue(broker, many(1, chat_id=7))
        chat = weakref.ref(broker._queue.bots[1].chats[7])
        gc.disable()
        try:
            await send_all(broker, clock, for_ms=1_000)
            clock.advance(120_000)
            await send_all(broker, clock, for_ms=1)

            assert chat() is None
        finally:
            gc.enable()

    async def test_users_are_forgotten_when_their_window_has_passed(self, clock: Clock, make: MakeBroker) -> None:
        broker = make(Limits(user=Limit(5, 60_000)))
        assert isinstance(broker, MemoryBroker)
        await queue(broker, [structs.replace(each, user_id=500 + n % 30) for n, each in enumerate(many(100))])

        sent = await send_all(broker, clock, for_ms=60_000)
        clock.advance(240_000)
        await send_all(broker, clock, for_ms=1)

        assert (len(sent), broker.size()) == (100, 0)


class TestNaiveBroker(BrokerContract):
    @pytest.fixture
    def make(self, clock: Clock) -> MakeBroker:
        return lambda limits: NaiveBroker(limits, clock=clock, lease_ms=LEASE_MS)
