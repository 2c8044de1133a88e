"""A 429 that our count does not explain lowers a limit for a while."""

from __future__ import annotations

from dataclasses import replace

from tempogram.engine.limits.limits import Limit
from tempogram.engine.model.messages import (
    HoldChat,
)
from tests.engine.brokers.contract.steps import (
    HIGH,
    UNLIMITED,
    MakeBroker,
    busiest,
    lease,
    many,
    one_by_one,
    queue,
    send_all,
    settle,
)
from tests.fakes import Clock


class AdaptiveLimits:
    async def test_a_429_that_our_count_does_not_explain_lowers_its_chats_limit_until_it_has_recovered(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, group=Limit(10, 1_000), guard_ms=0))
        await queue(broker, many(60, chat_id=-1, priority=HIGH))

        await settle(broker, await lease(broker), HoldChat(500), age_ms=None)
        sent = await send_all(broker, clock, for_ms=5_000)

        # 7 of 10 while it is held; then one more for each window since the 429.
        assert busiest(sent, from_ms=500, to_ms=1_000) == 7
        assert busiest(sent, from_ms=2_000, to_ms=3_000) == 9
        assert busiest(sent, from_ms=4_000, to_ms=5_000) == 10

    async def test_a_second_chat_lowers_the_bots_limit_which_the_stats_show(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(10, 1_000)))
        await queue(broker, many(2, priority=HIGH))
        two = await lease(broker)

        await settle(broker, two, HoldChat(100))
        lowered = (await broker.stats()).adapted
        clock.advance(1_000)
        risen = (await broker.stats()).adapted
        clock.advance(2_000)

        assert (lowered, risen, (await broker.stats()).adapted) == ({1: 7}, {1: 8}, {})

    async def test_calls_that_were_under_way_together_lower_a_limit_once(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(40, 1_000)))
        await queue(broker, many(5, priority=HIGH))

        await settle(broker, await lease(broker), HoldChat(100))

        assert (await broker.stats()).adapted == {1: 28}

    async def test_a_limit_is_not_lowered_below_its_least(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(10, 1_000), adapt_least=0.5))
        await queue(broker, many(8, priority=HIGH))
        for _ in range(3):
            await settle(broker, await lease(broker, 2), HoldChat(999))
            clock.advance(999)
            await settle(broker, await lease(broker, 2), HoldChat(1))
            clock.advance(1)

        assert (await broker.stats()).adapted == {1: 5}

    async def test_a_429_that_our_count_explains_lowers_nothing(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, group=Limit(4, 60_000)))
        await queue(broker, many(8, chat_id=-1, priority=HIGH))
        for _ in range(3):
            await settle(broker, await lease(broker))

        await settle(broker, await lease(broker), HoldChat(100), age_ms=None)
        clock.advance(100)

        assert len(await one_by_one(broker)) == 1

    async def test_new_limits_forget_what_was_lowered(self, make: MakeBroker) -> None:
        limits = replace(UNLIMITED, bot=Limit(10, 1_000))
        broker = make(limits)
        await queue(broker, many(2, priority=HIGH))
        await settle(broker, await lease(broker), HoldChat(100))

        await broker.configure(replace(limits, version=2))

        assert (await broker.stats()).adapted == {}
