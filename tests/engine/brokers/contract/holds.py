"""A 429 holds its chat, and its bot when the bot is meant."""

from __future__ import annotations

from dataclasses import replace

from tempogram.engine.limits.limits import Limit
from tempogram.engine.model.messages import (
    Hold,
    HoldChat,
)
from tempogram.engine.ports import Broker, Settled
from tests.engine.brokers.contract.steps import HIGH, UNLIMITED, MakeBroker, lease, leased_ids, many, queue, settle
from tests.fakes import START_MS, Clock, outgoing


class Holds:
    async def test_telegram_asking_us_to_wait_is_obeyed_to_the_millisecond(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [outgoing("a"), outgoing("b", priority=HIGH), outgoing("c", chat_id=8)])
        leases = await lease(unlimited)
        throttled = [each for each in leases if each.message.chat_id == 7]

        (answer,) = await settle(unlimited, throttled, HoldChat(retry_after_ms=7_000))
        clock.advance(6_999)
        too_early = await leased_ids(unlimited)
        clock.advance(1)

        assert answer == Settled(held=True, holds=(Hold(1, 7, START_MS + 7_000),))
        assert too_early == []
        assert await leased_ids(unlimited) == ["b"]

    async def test_being_throttled_spends_no_attempt(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(1))
        for _ in range(5):
            await settle(unlimited, await lease(unlimited), HoldChat(retry_after_ms=1_000))
            clock.advance(1_000)

        (last,) = await lease(unlimited)

        assert last.attempt == 1

    async def test_a_later_hold_replaces_an_earlier_one_and_never_the_other_way_round(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, many(1, chat_id=7))
        await unlimited.hold([Hold(1, 7, clock() + 2_000), Hold(1, None, clock() + 3_000)])
        await unlimited.hold([Hold(1, 7, clock() + 1_000), Hold(1, None, clock() + 1_000)])

        clock.advance(2_999)
        too_early = await leased_ids(unlimited)
        clock.advance(1)

        assert too_early == []
        assert await leased_ids(unlimited) == ["m0000"]

    async def test_two_chats_throttled_within_two_seconds_hold_the_bot(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(3))
        one, two = await lease(unlimited, slots=2)
        await settle(unlimited, [one], HoldChat(5_000))
        clock.advance(2_000)

        (answer,) = await settle(unlimited, [two], HoldChat(9_000))

        assert answer.holds == (Hold(1, 2, clock() + 9_000), Hold(1, None, clock() + 9_000))
        assert await leased_ids(unlimited) == []

    async def test_two_chats_throttled_further_apart_do_not_hold_the_bot(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(3))
        one, two = await lease(unlimited, slots=2)
        await settle(unlimited, [one], HoldChat(5_000))
        clock.advance(2_001)

        (answer,) = await settle(unlimited, [two], HoldChat(9_000))

        assert answer.holds == (Hold(1, 2, clock() + 9_000),)
        assert await leased_ids(unlimited) == ["m0002"]

    async def test_one_chat_throttled_twice_does_not_hold_the_bot(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(2))
        for _ in range(2):
            (mine,) = await lease(unlimited, slots=1)
            await settle(unlimited, [mine], HoldChat(500))
            clock.advance(500)

        assert len(await lease(unlimited)) == 2

    async def test_one_chat_throttled_under_two_names_does_not_hold_the_bot(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [outgoing("a", chat_id="@news")])
        await settle(unlimited, await lease(unlimited), HoldChat(500))
        await unlimited.migrate(1, "@news", -5)
        clock.advance(500)

        (answer,) = await settle(unlimited, await lease(unlimited), HoldChat(9_000))
        await queue(unlimited, [outgoing("b", chat_id=3)])

        assert answer.holds == (Hold(1, -5, clock() + 9_000),)
        assert await leased_ids(unlimited) == ["b"]

    async def test_chats_near_their_own_limit_do_not_hold_the_bot(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, group=Limit(1, 60_000)))
        await queue(broker, [outgoing("a", chat_id=-1), outgoing("b", chat_id=-2), outgoing("c", chat_id=3)])
        one, two = await lease(broker, slots=2)

        answers = await settle(broker, [one, two], HoldChat(9_000))

        assert [len(answer.holds) for answer in answers] == [1, 1]
        assert await leased_ids(broker) == ["c"]

    async def test_after_a_429_that_we_cannot_explain_its_chats_places_stay_taken_longer_for_a_minute(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, group=Limit(2, 1_000), guard_ms=25))
        await queue(broker, many(4, chat_id=-1, priority=HIGH))
        await settle(broker, await lease(broker), HoldChat(1), age_ms=None)
        clock.advance(1)
        await settle(broker, await lease(broker))

        clock.advance(1_025)
        too_early = await leased_ids(broker)
        clock.advance(1)
        in_time = await lease(broker)
        clock.advance(60_000)
        await settle(broker, in_time)
        clock.advance(1_001)

        assert too_early == []
        assert len(in_time) == 1
        assert len(await lease(broker)) == 1

    async def test_a_429_on_one_chat_keeps_no_other_chats_places_taken_longer(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, ceiling=Limit(2, 1_000), bot=Limit(2, 1_000), guard_ms=25))
        await queue(broker, many(5, priority=HIGH))
        await settle(broker, await lease(broker, 1), HoldChat(9_000), age_ms=None)
        await settle(broker, await lease(broker, 2))

        clock.advance(1_001)

        assert len(await lease(broker)) == 2

    async def test_429s_on_two_chats_make_the_count_of_their_bot_doubtful(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(3, 1_000), guard_ms=25, adapt_least=1))
        await queue(broker, many(6, priority=HIGH))
        await settle(broker, await lease(broker, 2), HoldChat(1), age_ms=None)
        clock.advance(1)
        await settle(broker, await lease(broker))

        clock.advance(1_025)
        too_early = await leased_ids(broker)
        clock.advance(1)

        assert too_early == []
        assert len(await lease(broker)) == 3

    async def test_a_throttled_call_of_no_chat_holds_the_bot(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", chat_id=None), outgoing("b", chat_id=2)])
        (mine,) = await lease(unlimited, slots=1)

        (answer,) = await settle(unlimited, [mine], HoldChat(1_000))

        assert answer.holds == (Hold(1, None, clock() + 1_000),)
        assert await leased_ids(unlimited) == []
