"""A bucket besides a window: so many at once, refilled with time, and no window holds more than its places."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.messages import HoldChat
from tests.engine.brokers.contract.steps import (
    HIGH,
    UNLIMITED,
    MakeBroker,
    lease,
    leased_ids,
    many,
    queue,
    send_all,
    settle,
    wake_in_ms,
)
from tests.fakes import Clock, outgoing

BURST = Limit(30, 1_000, burst=5)
GROUP = -5


def limited(which: str, limit: Limit = BURST) -> Limits:
    return Limits(**{name: getattr(UNLIMITED, name) for name in ("ceiling", "bot", "chat", "group")} | {which: limit})


def in_any_window(sent: list[tuple[int, str]], window_ms: int) -> int:
    """Return how many left in the fullest window, as Telegram counts: each place is free after its end."""
    return max(sum(since <= at_ms <= since + window_ms for at_ms, _ in sent) for since, _ in sent)


class Bursts:
    @pytest.mark.parametrize("which", ["ceiling", "bot"])
    async def test_a_burst_leaves_at_once_and_the_rest_as_the_bucket_is_refilled(
        self, make: MakeBroker, clock: Clock, which: str
    ) -> None:
        broker = make(limited(which))
        await queue(broker, many(200, priority=HIGH))

        sent = await send_all(broker, clock, for_ms=5_000)

        assert [at_ms for at_ms, _ in sent[:8]] == [0, 0, 0, 0, 0, 34, 67, 100]
        assert in_any_window(sent, 1_000) == 30
        assert 145 <= len(sent) <= 155

    async def test_a_burst_of_the_ceiling_leaves_bots_as_many_places_as_its_window_has(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(limited("ceiling"))
        for bot_id in range(1, 5):
            await queue(broker, many(10, prefix=f"b{bot_id}-", bot_id=bot_id))

        under_way = 0
        for _ in range(40):
            under_way += len(await lease(broker))
            clock.advance(50)

        assert under_way == 28  # the last two are kept for high

    async def test_a_group_with_a_burst_is_not_sent_its_whole_minute_at_once(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(limited("group", Limit(20, 60_000, burst=4)))
        await queue(broker, many(60, chat_id=GROUP, priority=HIGH))

        sent = await send_all(broker, clock, for_ms=120_000)

        assert [at_ms for at_ms, _ in sent[:6]] == [0, 0, 0, 0, 3_000, 6_000]
        assert in_any_window(sent, 60_000) <= 20

    async def test_the_window_holds_though_the_bucket_would_let_more_through(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(limited("bot", Limit(3, 1_000, burst=3)))
        await queue(broker, many(10, priority=HIGH))

        sent = await send_all(broker, clock, for_ms=2_100)

        assert [at_ms for at_ms, _ in sent] == [0, 0, 0, 1_001, 1_001, 1_001, 2_002, 2_002, 2_002]

    async def test_the_bucket_is_refilled_while_calls_hang_and_the_window_is_not(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(limited("bot", Limit(4, 1_000, burst=2)))
        await queue(broker, many(9, priority=HIGH))

        at_once = await lease(broker)
        clock.advance(60_000)
        refilled = await lease(broker)
        clock.advance(60_000)
        beyond = await lease(broker)
        await settle(broker, at_once + refilled, age_ms=60_000)

        assert (len(at_once), len(refilled), len(beyond)) == (2, 2, 0)
        assert len(await lease(broker)) == 2

    async def test_an_album_larger_than_the_burst_leaves_once_the_bucket_is_full_and_owes_the_rest(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(limited("bot", Limit(10, 1_000, burst=2)))
        await queue(broker, [outgoing("a", priority=HIGH, chat_id=1)])
        await settle(broker, await lease(broker))
        await queue(broker, [outgoing("album", priority=HIGH, chat_id=2, cost=5)])

        before = await leased_ids(broker)
        full_in_ms = await wake_in_ms(broker, clock)
        clock.advance(full_in_ms or 0)
        album = await lease(broker)
        await settle(broker, album)
        await queue(broker, [outgoing("b", priority=HIGH, chat_id=3)])

        assert (before, full_in_ms) == ([], 100)
        assert [each.message.id for each in album] == ["album"]
        assert await wake_in_ms(broker, clock) == 400

    async def test_a_burst_that_is_set_later_keeps_the_places_that_are_taken(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(limited("bot", Limit(4, 1_000)))
        await queue(broker, many(9, priority=HIGH))
        await settle(broker, (await lease(broker, 2)))
        in_flight = await lease(broker, 1)

        await broker.configure(replace(limited("bot", Limit(4, 1_000, burst=2)), version=2))
        one_left = await lease(broker)
        await settle(broker, in_flight + one_left)

        assert len(one_left) == 1
        assert await wake_in_ms(broker, clock) == 1_001

    async def test_a_burst_that_is_taken_away_leaves_the_window_as_it_was(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(limited("bot", Limit(4, 1_000, burst=2)))
        await queue(broker, many(9, priority=HIGH))
        await settle(broker, await lease(broker))

        await broker.configure(replace(limited("bot", Limit(4, 1_000)), version=2))

        assert len(await lease(broker)) == 2
        assert await leased_ids(broker) == []
        clock.advance(1_001)
        assert len(await lease(broker)) == 2

    async def test_a_group_that_migrates_takes_its_burst_with_it(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(limited("group", Limit(20, 60_000, burst=1)))
        await queue(broker, many(2, chat_id=GROUP, priority=HIGH))
        await settle(broker, await lease(broker))

        await broker.migrate(1, GROUP, -100)

        assert await wake_in_ms(broker, clock) == 3_000

    async def test_a_429_lowers_what_a_window_with_a_burst_lets_through(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(limited("group", Limit(10, 1_000, burst=10)), adapt_least=0.3))
        await queue(broker, many(30, chat_id=GROUP, priority=HIGH))
        await settle(broker, await lease(broker, 1), HoldChat(2_500))
        clock.advance(2_500)

        at_once = await send_all(broker, clock, for_ms=0)

        assert len(at_once) == 7  # of 10, as it does not rise during its hold
