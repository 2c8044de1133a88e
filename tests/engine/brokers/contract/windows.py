"""No window of a limit ever holds more than its places."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.messages import (
    ChatId,
    HoldChat,
    Rest,
    Settlement,
)
from tempogram.engine.ports import Broker
from tempogram.engine.ports.broker import BATCH_MAX
from tests.engine.brokers.contract.steps import (
    HIGH,
    LEASE_MS,
    LOW,
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
from tests.fakes import START_MS, Clock, outgoing


class Windows:
    async def test_a_bot_has_thirty_places_in_a_second_and_not_one_more(self, broker: Broker, clock: Clock) -> None:
        await queue(broker, many(31, priority=HIGH))
        first = await lease(broker)
        await settle(broker, first)

        clock.advance(1_000)
        too_early = await leased_ids(broker)
        clock.advance(1)
        in_time = await leased_ids(broker)

        assert len(first) == 30
        assert too_early == []
        assert in_time == ["m0030"]

    async def test_a_place_is_free_a_window_after_telegram_counted_it(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(1, 1_000)))
        await queue(broker, many(2, priority=HIGH))
        first = await lease(broker)
        clock.advance(400)
        await settle(broker, first, age_ms=100)

        clock.advance(900)
        too_early = await leased_ids(broker)
        clock.advance(1)

        assert too_early == []
        assert await leased_ids(broker) == ["m0001"]

    async def test_a_place_stays_taken_until_it_is_settled(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(1, 1_000)))
        await queue(broker, many(2, priority=HIGH))
        await lease(broker)

        clock.advance(LEASE_MS * 100)

        assert await leased_ids(broker) == []

    async def test_a_call_that_never_left_gives_its_places_back_at_once(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(1, 1_000)))
        await queue(broker, many(2, priority=HIGH))

        await settle(broker, await lease(broker), age_ms=None)

        assert await leased_ids(broker) == ["m0001"]

    async def test_the_ceiling_counts_all_bots_together(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, ceiling=Limit(3, 1_000)))
        for bot_id in (1, 2, 3, 4):
            await queue(broker, many(2, prefix=f"bot{bot_id}-", bot_id=bot_id, priority=HIGH))

        sent = await send_all(broker, clock, for_ms=2_500)

        assert Counter(at_ms for at_ms, _ in sent) == {0: 3, 1_001: 3, 2_002: 2}

    async def test_what_one_limit_refuses_takes_no_place_of_another(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, ceiling=Limit(1, 100), bot=Limit(1, 60_000), group=Limit(1, 60_000)))
        await queue(broker, [outgoing("a", bot_id=1, chat_id=-1), outgoing("b", bot_id=2, chat_id=-1)])
        await settle(broker, await lease(broker))
        for _ in range(5):
            assert await leased_ids(broker) == []

        clock.advance(101)

        assert await leased_ids(broker) == ["b"]

    async def test_a_private_chat_gets_three_at_once_and_then_one_a_second(self, broker: Broker, clock: Clock) -> None:
        await queue(broker, many(6, chat_id=7, priority=HIGH))

        sent = await send_all(broker, clock, for_ms=10_000)

        # Each is taken to be counted at the end of its millisecond.
        assert [at_ms for at_ms, _ in sent] == [0, 0, 1, 1_001, 2_001, 3_001]

    @pytest.mark.parametrize("chat_id", [-100123, "@news"])
    async def test_a_group_gets_twenty_in_sixty_seconds(self, broker: Broker, clock: Clock, chat_id: ChatId) -> None:
        await queue(broker, many(41, chat_id=chat_id, priority=HIGH))

        sent = await send_all(broker, clock, for_ms=120_002)

        assert Counter(at_ms for at_ms, _ in sent) == {0: 20, 60_001: 20, 120_002: 1}

    async def test_a_call_of_no_chat_uses_only_its_bots_places(self, broker: Broker, clock: Clock) -> None:
        await queue(broker, (outgoing(f"{n:02}", chat_id=None, priority=HIGH) for n in range(31)))

        sent = await send_all(broker, clock, for_ms=1_000)

        assert len(sent) == 30

    async def test_an_album_takes_a_place_for_each_item(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(5, 1_000)))
        await queue(broker, [outgoing("a", chat_id=1, cost=4, priority=HIGH), *many(3, priority=HIGH)])

        assert len(await lease(broker)) == 2

    async def test_only_the_items_that_arrived_of_an_album_take_places(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(5, 60_000)))
        await queue(broker, [outgoing("album", chat_id=1, cost=5, priority=HIGH), *many(9, priority=HIGH)])
        (album,) = await lease(broker, 1)

        rest = Rest("sendMediaGroup", b"{}", cost=3)
        await broker.settle([Settlement(album, HoldChat(8_000), 0, rest)])

        assert len(await leased_ids(broker)) == 3

    async def test_what_is_left_of_an_album_is_what_is_leased_next(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("album", chat_id=1, cost=5), outgoing("b", chat_id=1)])
        (album,) = await lease(unlimited)

        rest = Rest("sendPhoto", b'{"photo":"x"}', cost=1)
        await unlimited.settle([Settlement(album, HoldChat(8_000), 0, rest)])
        clock.advance(8_000)
        (again,) = await lease(unlimited)

        assert again.message == rest.of(album.message)

    async def test_an_album_larger_than_its_limit_leaves_when_nothing_else_is_taken(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(3, 1_000)))
        await queue(broker, [outgoing("a", chat_id=1, priority=HIGH), outgoing("b", chat_id=2, cost=10, priority=HIGH)])

        sent = await send_all(broker, clock, for_ms=2_000)

        assert sent == [(0, "a"), (1_001, "b")]

    async def test_an_album_does_not_starve_behind_single_messages(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(4, 1_000), saved_up=4))
        await queue(broker, many(4, priority=HIGH))
        singles = await lease(broker)
        await queue(broker, [outgoing("album", chat_id=77, cost=3), *many(40, prefix="low", priority=LOW)])
        for single in singles:
            clock.advance(100)
            await settle(broker, [single])

        sent = await send_all(broker, clock, for_ms=1_500)

        assert sent[0] == (1_301, "album")

    async def test_an_album_leaves_within_a_window_behind_an_endless_stream_of_high(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(4, 1_000), saved_up=4))
        await queue(broker, many(100, priority=HIGH))
        await send_all(broker, clock, for_ms=2_500)
        begun_ms = clock() - START_MS

        await queue(broker, [outgoing("album", chat_id=77, cost=3)])
        sent = {message_id: at_ms - begun_ms for at_ms, message_id in await send_all(broker, clock, for_ms=3_000)}

        # At the latest when what was counted before it came has left the window.
        assert sent["album"] <= 1_001

    async def test_an_album_of_one_bot_leaves_behind_other_bots_at_the_ceiling(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, ceiling=Limit(4, 1_000), saved_up=4))
        await queue(broker, many(100, priority=HIGH))
        await send_all(broker, clock, for_ms=2_500)
        begun_ms = clock() - START_MS

        await queue(broker, [outgoing("album", bot_id=2, chat_id=77, cost=3)])
        sent = {message_id: at_ms - begun_ms for at_ms, message_id in await send_all(broker, clock, for_ms=3_000)}

        assert sent["album"] <= 1_001

    @pytest.mark.parametrize(
        "limits", [replace(UNLIMITED, bot=Limit(4, 1_000)), replace(UNLIMITED, ceiling=Limit(4, 1_000))]
    )
    async def test_an_urgent_message_goes_at_once_while_an_album_saves_up(
        self, make: MakeBroker, clock: Clock, limits: Limits
    ) -> None:
        broker = make(replace(limits, saved_up=1))
        await queue(broker, many(60, prefix="low", priority=LOW))
        await send_all(broker, clock, for_ms=4_100)
        await queue(broker, [outgoing("album", cost=4)])
        while_it_saves_up = await send_all(broker, clock, for_ms=600)

        await queue(broker, [outgoing("urgent", chat_id=-5, priority=HIGH)])

        assert while_it_saves_up == []
        assert await leased_ids(broker) == ["urgent"]

    async def test_places_in_flight_are_taken_from_a_bucket_until_they_are_settled(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(1, 1_000, burst=3, leaks=True)))
        await queue(broker, many(5, priority=HIGH))
        first = await lease(broker)
        clock.advance(5_000)

        in_flight = await broker.lease(worker_id="worker", slots=BATCH_MAX)
        await settle(broker, first)

        assert len(first) == 3
        assert (in_flight.leases, in_flight.wake_at_ms) == ((), None)
        assert await wake_in_ms(broker, clock) == 1_001

    async def test_new_limits_act_from_now_on_and_an_older_version_is_ignored(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, version=5, bot=Limit(1, 1_000)))
        await queue(broker, many(5, priority=HIGH))
        await settle(broker, await lease(broker))

        answers = [await broker.configure(replace(UNLIMITED, version=n, bot=Limit(3, 1_000))) for n in (5, 4, 6)]

        assert answers == [False, False, True]
        assert await leased_ids(broker) == ["m0001", "m0002"]
