"""What was sent and spent before is still counted."""

from __future__ import annotations

from dataclasses import replace

from tempogram.engine.limits.limits import DAY_MS, Limit, Limits
from tempogram.engine.model.messages import (
    PastSend,
    Spent,
)
from tempogram.engine.ports import Broker
from tests.engine.brokers.contract.steps import (
    NONE,
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


class Restart:
    async def test_places_taken_before_a_restart_are_still_taken(self, broker: Broker, clock: Clock) -> None:
        sends = [PastSend(1, -100, clock() - 59_000, cost=1)] * 20
        await broker.restore(sends, wait_until_ms={})

        await queue(broker, many(1, chat_id=-100))

        assert await wake_in_ms(broker, clock) == 1_001

    async def test_a_burst_that_was_spent_before_a_restart_is_spent_however_many_others_were_sent_in_between(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        """Found by a run in which Redis was emptied: each send had drained by itself when the next was restored."""
        broker = make(replace(UNLIMITED, chat=Limit(1, 1_000, burst=3, leaks=True)))
        spent = [PastSend(1, 7, clock() - 6_000, cost=3)]
        steady = [PastSend(1, 7, clock() - ago_ms, cost=1) for ago_ms in range(5_000, 0, -1_000)]
        others = [PastSend(1, 1_000 + n, clock() - 6_000 + 20 * n, cost=1) for n in range(300)]
        oldest_first = sorted([*spent, *steady, *others], key=lambda send: send.counted_at_ms)
        await broker.restore(oldest_first, wait_until_ms={})

        await queue(broker, many(4, chat_id=7))

        assert len(await send_all(broker, clock, for_ms=900)) == 1

    async def test_what_was_admitted_before_the_past_sends_were_known_waits_for_their_places(
        self, broker: Broker, clock: Clock
    ) -> None:
        await queue(broker, many(1, chat_id=-100))
        await broker.restore([PastSend(1, -100, clock(), cost=1)] * 20, wait_until_ms={})

        assert await leased_ids(broker) == []
        assert await wake_in_ms(broker, clock) == 60_001

    async def test_a_send_longer_ago_than_its_window_takes_no_place(self, broker: Broker, clock: Clock) -> None:
        await broker.restore([PastSend(1, -100, clock() - 60_001, cost=1)] * 20, wait_until_ms={})

        await queue(broker, many(1, chat_id=-100))

        assert await leased_ids(broker) == ["m0000"]

    async def test_after_a_restart_a_bot_waits_until_its_time(self, unlimited: Broker, clock: Clock) -> None:
        await unlimited.restore([], wait_until_ms={1: clock() + 1_000})
        await queue(unlimited, [outgoing("a", bot_id=1), outgoing("b", bot_id=2)])

        assert await leased_ids(unlimited) == ["b"]
        assert await wake_in_ms(unlimited, clock) == 1_000

    async def test_a_place_that_is_noted_late_is_taken_from_the_time_at_which_it_was_counted(
        self, broker: Broker, clock: Clock
    ) -> None:
        await queue(broker, [outgoing("before", chat_id=-5)])
        await settle(broker, await lease(broker))
        await queue(broker, many(3, chat_id=-100))

        await broker.note([PastSend(1, -100, clock() - 59_000, cost=1)] * 20)

        assert await leased_ids(broker) == []
        assert await wake_in_ms(broker, clock) == 1_001

    async def test_a_place_that_is_noted_while_its_chat_has_one_in_flight_frees_nothing(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(Limits(ceiling=NONE, bot=NONE, chat=Limit(2, 1_000), guard_ms=0))
        await queue(broker, many(3, chat_id=7))
        (first,) = await lease(broker, 1)

        await broker.note([PastSend(1, 7, clock(), cost=1)])
        await settle(broker, [first])

        assert await leased_ids(broker) == []
        assert await wake_in_ms(broker, clock) == 1_001

    async def test_what_a_late_note_says_was_paid_for_is_spent(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(5, DAY_MS)))

        await broker.note([], spent=[Spent(1, clock() - 3_600_000, 4)])

        assert (await broker.stats()).paid == {1: 4}

    async def test_sends_noted_for_a_time_to_come_count_as_made_now(self, broker: Broker, clock: Clock) -> None:
        await broker.note([PastSend(1, -100, clock() + 3_600_000, cost=1)] * 20)

        await queue(broker, many(1, chat_id=-100))

        assert await leased_ids(broker) == []
        assert await wake_in_ms(broker, clock) == 60_001

    async def test_however_many_sends_are_noted_for_a_time_to_come_they_fill_a_bucket_and_no_more(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        limit = Limit(30, 1_000, burst=3)
        broker = make(Limits(ceiling=limit, bot=limit, chat=Limit(1, 1_000, burst=3, leaks=True)))
        await broker.note([PastSend(1, chat, clock() + 3_600_000, cost=3) for chat in range(1, 50)])

        await queue(broker, many(1, chat_id=7) + many(1, prefix="new", chat_id=100))

        assert await leased_ids(broker) == []
        clock.advance(1_001)
        assert sorted(await leased_ids(broker)) == ["m0000", "new0000"]

    async def test_what_was_paid_for_at_a_time_to_come_is_spent_now(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(Limits(ceiling=NONE, purse=Limit(5, DAY_MS)))

        await broker.note([], spent=[Spent(1, clock() + 3_600_000, 4)])
        clock.advance(DAY_MS + 60_000)

        assert (await broker.stats()).paid == {}
