"""A chat's messages leave in order, and one that waits holds up no other chat or bot."""

from __future__ import annotations

from dataclasses import replace

from tempogram.engine.limits.limits import Limit
from tempogram.engine.model.messages import (
    Again,
    Hold,
)
from tempogram.engine.ports import Broker
from tests.engine.brokers.contract.steps import (
    HIGH,
    LOW,
    UNLIMITED,
    MakeBroker,
    lease,
    leased_ids,
    many,
    queue,
    send_all,
    settle,
)
from tests.fakes import Clock, outgoing


class Order:
    async def test_a_chat_that_must_wait_holds_up_no_other_chat(self, unlimited: Broker, clock: Clock) -> None:
        await unlimited.hold([Hold(1, 1, clock() + 60_000)])
        await queue(unlimited, many(3))

        assert await leased_ids(unlimited) == ["m0001", "m0002"]

    async def test_a_bot_that_must_wait_holds_up_no_other_bot(self, unlimited: Broker, clock: Clock) -> None:
        await unlimited.hold([Hold(1, None, clock() + 60_000)])
        await unlimited.pause(2, paused=True)
        for bot_id in (1, 2, 3):
            await queue(unlimited, many(1, prefix=f"bot{bot_id}-", bot_id=bot_id))

        assert await leased_ids(unlimited) == ["bot3-0000"]

    async def test_a_bot_at_its_limit_holds_up_no_other_bot(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(1, 1_000)))
        for bot_id in (1, 2):
            await queue(broker, many(2, prefix=f"bot{bot_id}-", bot_id=bot_id, priority=HIGH))

        assert await leased_ids(broker) == ["bot1-0000", "bot2-0000"]

    async def test_one_chats_messages_leave_in_the_order_of_their_ids(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, reversed(many(5, chat_id=7)))

        sent = await send_all(unlimited, clock, for_ms=1)

        assert [message_id for _, message_id in sent] == ["m0000", "m0001", "m0002", "m0003", "m0004"]

    async def test_one_message_of_a_chat_is_in_flight_at_a_time(self, unlimited: Broker) -> None:
        await queue(unlimited, many(2, chat_id=7))
        await queue(unlimited, many(1, prefix="high", chat_id=7, priority=HIGH))

        first = await lease(unlimited)
        meanwhile = await lease(unlimited)
        await settle(unlimited, first)

        assert len(first) == 1
        assert meanwhile == []
        assert len(await lease(unlimited)) == 1

    async def test_the_same_chat_of_another_bot_is_another_chat(self, unlimited: Broker) -> None:
        await queue(unlimited, [outgoing("a", bot_id=1), outgoing("b", bot_id=2)])

        assert await leased_ids(unlimited) == ["a", "b"]

    async def test_a_higher_priority_overtakes_in_the_same_chat(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", priority=LOW), outgoing("b", priority=HIGH)])

        sent = await send_all(unlimited, clock, for_ms=1)

        assert [message_id for _, message_id in sent] == ["b", "a"]

    async def test_a_message_that_is_tried_again_stays_before_those_behind_it(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, many(3, chat_id=7))
        await settle(unlimited, await lease(unlimited), Again(delay_ms=500))

        clock.advance(499)
        too_early = await leased_ids(unlimited)
        clock.advance(1)
        sent = await send_all(unlimited, clock, for_ms=1)

        assert too_early == []
        assert [message_id for _, message_id in sent] == ["m0000", "m0001", "m0002"]

    async def test_a_backoff_holds_its_lane_and_not_the_whole_chat(self, unlimited: Broker) -> None:
        await queue(unlimited, many(2, chat_id=7))
        await settle(unlimited, await lease(unlimited), Again(delay_ms=500))

        await queue(unlimited, [outgoing("urgent", priority=HIGH)])

        assert await leased_ids(unlimited) == ["urgent"]

    async def test_an_attempt_is_counted_when_it_is_spent(self, unlimited: Broker) -> None:
        await queue(unlimited, many(1))
        for then in (Again(0), Again(0, spent=False), Again(0)):
            await settle(unlimited, await lease(unlimited), then)

        (last,) = await lease(unlimited)

        assert last.attempt == 3

    async def test_a_message_read_back_goes_on_with_its_attempts_and_its_backoff(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        tried = outgoing("a", chat_id=7, attempt=2, ready_at_ms=clock() + 500)
        await unlimited.admit([tried, outgoing("b", chat_id=7)], worker_id="start", slots=0, capped=False)

        clock.advance(499)
        too_early = await leased_ids(unlimited)
        clock.advance(1)
        (first,) = await lease(unlimited)

        assert too_early == []
        assert (first.message.id, first.attempt) == ("a", 3)
