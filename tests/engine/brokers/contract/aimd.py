"""A 429 that our count does not explain lowers a limit for a while."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tempogram.engine.limits.limits import Limit
from tempogram.engine.model.messages import Done, HoldChat, Lease, Outgoing, Then
from tempogram.engine.ports import Broker
from tempogram.engine.ports.broker import BATCH_MAX
from tests.engine.brokers.contract.steps import (
    HIGH,
    NORMAL,
    UNLIMITED,
    MakeBroker,
    busiest,
    lease,
    many,
    one_by_one,
    queue,
    send_all,
    settle,
    wake_in_ms,
)
from tests.fakes import Clock

ROUND_TRIP_MS = 20


class AdaptiveLimits:
    async def test_a_429_that_our_count_does_not_explain_lowers_its_chats_limit(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, group=Limit(10, 1_000), guard_ms=0))
        await queue(broker, many(60, chat_id=-1, priority=HIGH))

        await settle(broker, await lease(broker), HoldChat(500), age_ms=None)
        sent = await send_all(broker, clock, for_ms=2_000)

        assert busiest(sent, from_ms=0, to_ms=500) == 0
        assert busiest(sent, from_ms=500, to_ms=1_501) == 7  # of 10

    async def test_a_lowered_limit_does_not_rise_during_its_own_hold(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(10, 1_000), guard_ms=0))
        await queue(broker, many(40, priority=HIGH))
        await settle(broker, await lease(broker, 2), HoldChat(25_000))

        clock.advance(25_000)
        sent = await send_all(broker, clock, for_ms=900)

        assert len(sent) == 7

    async def test_a_lowered_limit_that_nothing_uses_does_not_rise(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(10, 1_000), guard_ms=0))
        await queue(broker, many(2, priority=HIGH))
        await settle(broker, await lease(broker), HoldChat(100))
        for number in range(20):
            clock.advance(1_000)
            await queue(broker, many(1, prefix=f"later{number}", priority=HIGH))
            await settle(broker, await lease(broker))

        assert (await broker.stats()).adapted == {1: 7}

    async def test_a_limit_that_nothing_has_used_for_an_hour_is_whole_again(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(10, 1_000), guard_ms=0))
        await queue(broker, many(2, priority=HIGH))
        await settle(broker, await lease(broker), HoldChat(100))
        clock.advance(100)
        await settle(broker, await lease(broker))

        clock.advance(3_600_000)
        await queue(broker, many(11, prefix="later", priority=HIGH))

        assert len(await lease(broker)) == 10
        assert (await broker.stats()).adapted == {}

    async def test_a_limit_rises_fast_to_just_under_what_failed_and_then_stays(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(20, 1_000), guard_ms=0))
        await queue(broker, many(400, priority=HIGH))
        await settle(broker, await lease(broker, 10))
        await settle(broker, await lease(broker, 2), HoldChat(100))
        clock.advance(100)

        heights = []
        for _ in range(25):
            await send_all(broker, clock, for_ms=1_002)
            heights.append((await broker.stats()).adapted.get(1))

        # 10 passed and 11 failed: 7 of it for a start, then half of the way in each window, then a long stay, then
        # one more as a probe, and ever larger steps, as none fails.
        assert heights == [7, 9, *[10] * 17, 11, 13, 17, None, None, None]

    async def test_a_probe_that_fails_comes_back_to_where_it_stayed_and_is_not_repeated_for_twice_as_long(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(20, 1_000), guard_ms=0))
        server = StrictServer(broker, clock, many(1_000, priority=NORMAL), limit=10, hold_ms=2_000)

        probes_at_s = [round(at_ms / 1_000) for at_ms in await server.serve(for_ms=75_000)]

        assert (await broker.stats()).adapted == {1: 10}
        assert [at_s for at_s in sorted(set(probes_at_s)) if at_s > 2] == pytest.approx([25, 66], abs=2)

    async def test_only_a_probe_that_fails_makes_the_next_stay_longer(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(20, 1_000), guard_ms=0))
        await queue(broker, many(400, priority=HIGH))
        for _ in range(3):
            await settle(broker, await lease(broker, 2), HoldChat(100))
            clock.advance(100)

        heights = []
        for _ in range(25):
            await send_all(broker, clock, for_ms=1_002)
            heights.append((await broker.stats()).adapted.get(1))

        assert heights == [6, 7, *[8] * 17, 9, 11, 15, None, None, None]

    @pytest.mark.parametrize(("limit", "hold_ms"), [(10, 2_000), (15, 2_000), (20, 2_000), (25, 2_000)])
    async def test_most_of_an_unknown_rate_is_used_with_few_429s(
        self, make: MakeBroker, clock: Clock, limit: int, hold_ms: int
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(30, 1_000)))
        server = StrictServer(broker, clock, many(1_500, priority=NORMAL), limit=limit, hold_ms=hold_ms)

        throttled_at_ms = await server.serve(for_ms=50_000)

        assert server.accepted >= 0.85 * limit * 50
        assert len(throttled_at_ms) <= 6

    async def test_a_long_hold_is_met_once_and_its_rate_is_used_from_then_on(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(30, 1_000)))
        server = StrictServer(broker, clock, many(1_500, priority=NORMAL), limit=15, hold_ms=25_000)

        throttled_at_ms = await server.serve(for_ms=77_000)

        assert len(throttled_at_ms) == 2
        assert server.accepted >= 0.85 * 15 * (77 - 25)

    @pytest.mark.parametrize("limit", [12, 18])
    async def test_most_of_a_groups_unknown_rate_is_used_with_few_429s(
        self, make: MakeBroker, clock: Clock, limit: int
    ) -> None:
        broker = make(replace(UNLIMITED, group=Limit(20, 60_000)))
        server = StrictServer(
            broker, clock, many(400, chat_id=-1, priority=NORMAL), limit=limit, hold_ms=25_000, window_ms=60_000
        )

        throttled_at_ms = await server.serve(for_ms=15 * 60_000)

        assert server.accepted >= 0.95 * limit * 15
        assert len(throttled_at_ms) <= 2

    async def test_a_lowered_limit_that_waits_for_nothing_wakes_no_worker(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(10, 1_000), group=Limit(10, 1_000), guard_ms=0))
        await queue(broker, many(2, priority=HIGH))
        await settle(broker, await lease(broker), HoldChat(100))
        clock.advance(100)
        await settle(broker, await lease(broker))

        assert await wake_in_ms(broker, clock) is None

    async def test_calls_that_were_under_way_together_lower_a_limit_once(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(40, 1_000)))
        await queue(broker, many(5, priority=HIGH))

        await settle(broker, await lease(broker), HoldChat(100))

        assert (await broker.stats()).adapted == {1: 28}

    async def test_a_limit_is_not_lowered_below_its_least(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(10, 1_000), adapt_least=0.5))
        await queue(broker, many(8, priority=HIGH))
        for _ in range(3):
            await settle(broker, await lease(broker, 2), HoldChat(1_000))
            clock.advance(1_000)

        assert (await broker.stats()).adapted == {1: 5}

    async def test_a_429_near_its_chats_own_limit_lowers_that_and_blames_nothing_else(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(100, 1_000), group=Limit(4, 60_000), guard_ms=0))
        await queue(broker, [*many(8, chat_id=-1, priority=HIGH), *many(8, prefix="n", chat_id=-2, priority=HIGH)])
        for _ in range(3):
            await settle(broker, await lease(broker))

        await settle(broker, await lease(broker), HoldChat(100))
        clock.advance(60_001)

        assert (await broker.stats()).adapted == {}
        assert len(await one_by_one(broker)) == 2 * 2  # 3 passed: 2 for a start, in each

    async def test_new_limits_forget_what_was_lowered(self, make: MakeBroker) -> None:
        limits = replace(UNLIMITED, bot=Limit(10, 1_000))
        broker = make(limits)
        await queue(broker, many(2, priority=HIGH))
        await settle(broker, await lease(broker), HoldChat(100))

        await broker.configure(replace(limits, version=2))

        assert (await broker.stats()).adapted == {}


class StrictServer:
    """Takes so many calls in any window, and refuses everything for a while when there is one more.

    Of the messages that are to be sent, as many wait at a time as never run out.
    """

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        messages: list[Outgoing],
        *,
        limit: int,
        hold_ms: int,
        window_ms: int = 1_000,
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._to_come = messages
        self._waiting = 0
        self._limit = limit
        self._hold_ms = hold_ms
        self._window_ms = window_ms
        self._taken_at_ms: list[int] = []
        self._refuses_until_ms = 0
        self._under_way: list[tuple[int, Lease, Then]] = []
        self.accepted = 0

    async def serve(self, *, for_ms: int) -> list[int]:
        """Send whatever may go, each call answered after ``ROUND_TRIP_MS``; return when the server refused one."""
        begin_ms = self._clock()
        throttled_at_ms: list[int] = []
        while self._clock() < begin_ms + for_ms:
            await self._settle_answered()
            await self._queue_more()
            leased = await self._broker.lease(worker_id="worker", slots=BATCH_MAX)
            self._waiting -= len(leased.leases)
            for each in leased.leases:
                then = self._answer()
                if isinstance(then, HoldChat):
                    throttled_at_ms.append(self._clock() - begin_ms)
                self._under_way.append((self._clock() + ROUND_TRIP_MS, each, then))
            answered_at_ms = self._under_way[0][0] if self._under_way else begin_ms + for_ms
            wake_at_ms = leased.wake_at_ms if not leased.leases and leased.wake_at_ms else answered_at_ms
            self._clock.now_ms = max(self._clock() + 1, min(answered_at_ms, wake_at_ms, begin_ms + for_ms))
        return throttled_at_ms

    async def _queue_more(self) -> None:
        while self._to_come and self._waiting < 2 * BATCH_MAX:
            batch, self._to_come = self._to_come[:BATCH_MAX], self._to_come[BATCH_MAX:]
            await queue(self._broker, batch)
            self._waiting += len(batch)

    async def _settle_answered(self) -> None:
        while self._under_way and self._under_way[0][0] <= self._clock():
            answered_at_ms, each, then = self._under_way.pop(0)
            age_ms = self._clock() - answered_at_ms + ROUND_TRIP_MS
            await settle(self._broker, [each], then, age_ms=age_ms)
            self._waiting += isinstance(then, HoldChat)

    def _answer(self) -> Then:
        now_ms = self._clock()
        self._taken_at_ms = [at_ms for at_ms in self._taken_at_ms if at_ms > now_ms - self._window_ms]
        if now_ms >= self._refuses_until_ms and len(self._taken_at_ms) < self._limit:
            self._taken_at_ms.append(now_ms)
            self.accepted += 1
            return Done()
        if now_ms >= self._refuses_until_ms:
            self._refuses_until_ms = now_ms + self._hold_ms
        return HoldChat(self._refuses_until_ms - now_ms)
