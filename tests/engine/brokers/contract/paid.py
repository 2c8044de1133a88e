"""Paid messages have a window and a purse of their own."""

from __future__ import annotations

from msgspec import structs

from tempogram.engine.limits.limits import DAY_MS, Limit, Limits
from tempogram.engine.model.messages import (
    Again,
    HoldChat,
    PastSend,
    Spent,
)
from tempogram.engine.ports import WaitsAt
from tests.engine.brokers.contract.steps import (
    HIGH,
    LOW,
    NONE,
    MakeBroker,
    busiest,
    lease,
    leased_ids,
    many,
    paid,
    queue,
    send_all,
    settle,
    waits_at,
)
from tests.fakes import Clock, outgoing


class Paid:
    async def test_a_bot_sends_a_thousand_paid_messages_a_second_and_not_one_more(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(5_000, DAY_MS)))
        await queue(broker, paid(1_500))

        sent = await send_all(broker, clock, for_ms=1_500)

        assert busiest(sent, from_ms=0, to_ms=1_000) == 1_000
        assert len(sent) == 1_500

    async def test_paid_messages_take_no_place_of_the_free_ones_nor_the_other_way_round(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(Limits(ceiling=NONE, paid=Limit(40, 1_000), purse=Limit(5_000, DAY_MS)))
        await queue(broker, paid(200))
        await queue(broker, many(200, prefix="free", priority=LOW))

        sent = await send_all(broker, clock, for_ms=999)

        free = [message_id for _, message_id in sent if message_id.startswith("free")]
        assert (len(free), len(sent) - len(free)) == (30, 40)

    async def test_a_free_message_that_must_wait_keeps_back_no_paid_one_of_its_priority(self, make: MakeBroker) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(5_000, DAY_MS)))
        await queue(broker, many(10, prefix="a"))
        await queue(broker, [structs.replace(each, chat_id=n + 500) for n, each in enumerate(paid(10))])

        assert len([each for each in await leased_ids(broker) if each.startswith("paid")]) == 10

    async def test_paid_messages_keep_their_chats_limit_their_order_and_the_ceiling(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(Limits(ceiling=Limit(50, 1_000), group=Limit(3, 60_000), purse=Limit(5_000, DAY_MS)))
        await queue(broker, [structs.replace(each, is_paid=n % 2 == 0) for n, each in enumerate(many(5, chat_id=-5))])
        await queue(broker, paid(200))

        sent = await send_all(broker, clock, for_ms=10_000)

        assert [each for _, each in sent if each.startswith("m")] == ["m0000", "m0001", "m0002"]
        assert busiest(sent, from_ms=0, to_ms=1_000) == 50

    async def test_when_the_purse_is_empty_paid_messages_go_as_free_ones_and_their_leases_say_so(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(3, DAY_MS)))
        await queue(broker, paid(6))

        leases = await lease(broker)
        await settle(broker, leases)
        clock.advance(1_000)
        more = await lease(broker)

        assert [each.message.is_paid for each in leases] == [True, True, True, False, False]
        assert [each.message.is_paid for each in more] == [False]
        assert (await broker.stats()).paid == {1: 3}

    async def test_what_is_spent_may_be_spent_again_a_window_later_to_the_minute(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(1, DAY_MS)))
        await queue(broker, paid(3))
        first = await lease(broker, 1)
        await settle(broker, first)

        clock.advance(DAY_MS)
        too_early = await lease(broker, 1)
        await settle(broker, too_early)
        clock.advance(60_000)

        pays = [each.message.is_paid for each in (*first, *too_early, *await lease(broker, 1))]
        assert pays == [True, False, True]

    async def test_a_paid_message_that_is_cancelled_leaves_its_turn_to_a_free_one(self, make: MakeBroker) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(1, DAY_MS)))
        await queue(broker, [*paid(1), *many(1, prefix="q", chat_id=500)])

        cancelled = await broker.cancel(["paid0000"])

        assert cancelled == [True]
        assert await leased_ids(broker) == ["q0000"]

    async def test_a_paid_call_that_never_left_costs_nothing(self, make: MakeBroker) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(1, DAY_MS)))
        await queue(broker, paid(1))

        await settle(broker, await lease(broker), Again(0), age_ms=None)

        assert (await broker.stats()).paid == {}
        assert [each.message.is_paid for each in await lease(broker)] == [True]

    async def test_an_album_that_costs_more_than_the_purse_has_left_goes_as_a_free_one(self, make: MakeBroker) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(5, DAY_MS)))
        await queue(broker, [outgoing("album", cost=6, is_paid=True, priority=HIGH)])

        assert [each.message.is_paid for each in await lease(broker)] == [False]

    async def test_what_was_spent_before_a_restart_is_still_spent(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(5, DAY_MS)))
        await queue(broker, paid(2))

        await broker.restore([], wait_until_ms={}, spent=[Spent(1, clock() - 3_600_000, 4)])

        assert [each.message.is_paid for each in await lease(broker)] == [True, False]

    async def test_a_paid_place_that_was_taken_before_a_restart_is_still_taken(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        one = Limit(1, 1_000)
        broker = make(Limits(ceiling=NONE, bot=one, paid=one, purse=Limit(5, DAY_MS)))

        await broker.restore([PastSend(1, 9, clock(), 1, is_paid=True)], wait_until_ms={})
        await queue(broker, [*paid(1), outgoing("free", chat_id=8)])

        assert await leased_ids(broker) == ["free"]

    async def test_a_429_of_a_paid_message_lowers_no_limit_of_its_bot(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(5_000, DAY_MS)))
        await queue(broker, paid(3))

        await settle(broker, await lease(broker), HoldChat(1_000), age_ms=None)

        assert (await broker.stats()).adapted == {}

    async def test_a_paid_message_says_at_which_gate_it_waits(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(Limits(ceiling=NONE, paid=Limit(1, 1_000), purse=Limit(2, DAY_MS)))
        await queue(broker, paid(3))
        await settle(broker, await lease(broker))

        in_paid_window = await waits_at(broker, "paid0001")
        clock.advance(1_001)
        await settle(broker, await lease(broker))

        assert in_paid_window is WaitsAt.BOT_WINDOW
        assert await broker.explain("paid0002") is None  # the purse is empty: it went as a free one, at once
