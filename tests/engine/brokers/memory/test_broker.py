"""The memory broker keeps the contract, and so does the model it is judged by."""

from __future__ import annotations

import asyncio
import tracemalloc
from sys import getrefcount, getsizeof
from typing import Any

import pytest
from msgspec import structs

from tempogram.engine.brokers.memory.broker import MemoryBroker
from tempogram.engine.brokers.memory.queue import DUE_MAX, SPARSE_BYTES_KEPT, STALE_KEPT
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.batching import batches
from tempogram.engine.model.messages import KEPT_MS, Priority
from tempogram.engine.ports.broker import BATCH_MAX, EXPIRED_MAX
from tests.engine.brokers.contract import BrokerContract
from tests.engine.brokers.contract.steps import LEASE_MS, UNLIMITED, MakeBroker, lease, many, queue, send_all, settle
from tests.engine.brokers.naive_broker import NaiveBroker
from tests.fakes import START_MS, Clock, outgoing

FAR_MS = START_MS + 86_400_000

ONLY_HERE = 2
"""What ``getrefcount`` answers if a local variable alone refers to an object: that, and its own argument."""


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
        for _ in range(len(messages) // DUE_MAX):
            await broker.lease(worker_id="w", slots=0)

        assert full > 10_000
        assert broker.size() <= 2 * STALE_KEPT

    @pytest.mark.parametrize("ready_at_ms", [KEPT_MS, FAR_MS])
    async def test_a_scheduled_message_that_is_edited_again_and_again_has_one_timer(
        self, make: MakeBroker, ready_at_ms: int
    ) -> None:
        broker = make(Limits())
        assert isinstance(broker, MemoryBroker)
        message = outgoing("a", ready_at_ms=FAR_MS)
        await queue(broker, [message])
        before = len(broker._queue.timers)

        for number in range(10):
            await broker.amend([structs.replace(message, params=b"%d" % number, ready_at_ms=ready_at_ms)])

        assert len(broker._queue.timers) == before

    async def test_no_dict_keeps_the_size_of_a_backlog(self, clock: Clock, make: MakeBroker) -> None:
        broker = make(Limits())
        assert isinstance(broker, MemoryBroker)
        kept = broker._queue
        await queue(broker, [structs.replace(each, expires_at_ms=clock() + 1) for each in many(9_000)])
        await queue(broker, [outgoing("stays", chat_id=-7)])
        full = getsizeof(kept.entries), getsizeof(kept.bots[1].chats)

        for _ in range(9_000 // EXPIRED_MAX):
            clock.advance(20)
            await broker.lease(worker_id="w", slots=1)
        clock.advance(120_000)
        for _ in range(9_000 // DUE_MAX + 1):
            await broker.lease(worker_id="w", slots=0)

        left = getsizeof(kept.entries), getsizeof(kept.bots[1].chats)
        assert all(after < before / 2 for before, after in zip(full, left, strict=True))

    @pytest.mark.parametrize(("own_chats", "bytes_max"), [(True, 650), (False, 250)])
    async def test_a_waiting_message_takes_little_and_what_it_took_returns(
        self,
        clock: Clock,
        make: MakeBroker,
        own_chats: bool,  # noqa: FBT001 - a case
        bytes_max: int,
    ) -> None:
        broker, count = make(Limits(chat_cap=0)), 6_000
        messages = many(count, chat_id=None if own_chats else 7)
        await broker.pause(1, paused=True)
        tracemalloc.start()
        try:
            await queue(broker, messages)
            taken = tracemalloc.get_traced_memory()[0]
            for batch in batches([each.id for each in messages], BATCH_MAX):
                await broker.cancel(batch)
            clock.advance(120_000)
            for _ in range(count // DUE_MAX + 1):
                await broker.lease(worker_id="w", slots=0)
            left = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

        assert taken / count <= bytes_max
        assert left <= 5 * SPARSE_BYTES_KEPT

    async def test_what_is_due_at_once_is_begun_in_calls_that_end_soon(self, clock: Clock, make: MakeBroker) -> None:
        broker = make(UNLIMITED)
        messages = [structs.replace(each, ready_at_ms=clock() + 10) for each in many(3 * DUE_MAX)]
        await queue(broker, messages)
        clock.advance(10)

        first = await broker.lease(worker_id="w", slots=1)
        sent = await send_all(broker, clock, for_ms=1)

        assert first.wake_at_ms == clock() - 1
        assert len(sent) == 3 * DUE_MAX - 1

    async def test_a_wait_ends_when_there_is_something_to_forget(self, clock: Clock, make: MakeBroker) -> None:
        broker = make(Limits())
        await queue(broker, many(1, chat_id=7))
        await settle(broker, await lease(broker))
        assert (await broker.lease(worker_id="w", slots=1)).wake_at_ms is None
        clock.advance(120_000)

        async with asyncio.timeout(5):
            await broker.wait(until_ms=None)

    async def test_chats_that_are_forgotten_need_no_garbage_collector(self, clock: Clock, make: MakeBroker) -> None:
        broker = make(Limits())
        assert isinstance(broker, MemoryBroker)
        await queue(broker, many(1, chat_id=7))
        chat = broker._queue.bots[1].chats[7]

        await send_all(broker, clock, for_ms=1_000)
        clock.advance(120_000)
        await send_all(broker, clock, for_ms=1)

        assert getrefcount(chat) == ONLY_HERE

    async def test_a_broker_that_is_gone_leaves_nothing_to_the_garbage_collector(
        self, clock: Clock, make: MakeBroker
    ) -> None:
        broker = make(Limits(user=Limit(5, 60_000)))
        assert isinstance(broker, MemoryBroker)
        changes: list[dict[str, Any]] = [
            {},
            {"user_id": 5, "chat_id": 7},
            {"replaces": "edit:1", "chat_id": 7},
            {"ready_at_ms": FAR_MS},
            {"cost": 0},
            {"priority": Priority.HIGH},
        ]
        for n, change in enumerate(changes):
            await queue(broker, [structs.replace(each, **change) for each in many(60, prefix=f"{n}-")])
        await lease(broker)
        chats = list(broker._queue.bots[1].chats.values())  # to which every message refers

        del broker

        assert [getrefcount(each) for each in chats] == [ONLY_HERE + 1] * len(chats)

    async def test_users_are_forgotten_when_their_window_has_passed(self, clock: Clock, make: MakeBroker) -> None:
        broker = make(Limits(user=Limit(5, 60_000)))
        assert isinstance(broker, MemoryBroker)
        await queue(broker, [structs.replace(each, user_id=500 + n % 30) for n, each in enumerate(many(100))])

        sent = await send_all(broker, clock, for_ms=60_000)
        clock.advance(240_000)
        await send_all(broker, clock, for_ms=1)

        assert (len(sent), broker.size()) == (100, 0)


class TestNaiveBroker(BrokerContract):
    # It scans plain lists: what sends for minutes of the clock would take it seconds. The memory broker is asked all of
    # it, and is compared with this one step by step in ``test_brokers_model``.
    test_the_fortieth_urgent_message_waits_no_longer_than_the_first = None  # type: ignore[assignment]
    test_most_of_an_unknown_rate_is_used_with_few_429s = None  # type: ignore[assignment]
    test_an_urgent_message_behind_six_hundred_low_ones_waits_at_most_a_slot = None  # type: ignore[assignment]
    test_with_a_backlog_the_limit_is_used = None  # type: ignore[assignment]
    test_a_long_hold_is_met_once_and_its_rate_is_used_from_then_on = None  # type: ignore[assignment]
    test_a_probe_that_fails_comes_back_to_where_it_stayed_and_is_not_repeated_for_twice_as_long = None  # type: ignore[assignment]
    test_while_half_of_the_bots_hang_an_urgent_message_of_another_waits_for_none_of_them = None  # type: ignore[assignment]
    test_bots_that_hang_have_half_of_the_ceiling_at_most_or_their_shares = None  # type: ignore[assignment]
    test_priorities_share_sixteen_to_four_to_one = None  # type: ignore[assignment]
    test_bots_that_hang_leave_the_others_their_share_of_the_ceiling = None  # type: ignore[assignment]
    test_a_bot_sends_a_thousand_paid_messages_a_second_and_not_one_more = None  # type: ignore[assignment]

    @pytest.fixture
    def make(self, clock: Clock) -> MakeBroker:
        return lambda limits: NaiveBroker(limits, clock=clock, lease_ms=LEASE_MS)
