"""Messages leave at their time and expire; a worker learns when to wake."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.messages import (
    Again,
    Hold,
)
from tempogram.engine.ports import Broker
from tempogram.engine.ports.broker import BATCH_MAX, EXPIRED_MAX
from tests.engine.brokers.contract.steps import (
    HIGH,
    NONE,
    MakeBroker,
    lease,
    leased_ids,
    many,
    queue,
    settle,
    wake_in_ms,
)
from tests.fakes import Clock, outgoing


class Times:
    async def test_a_scheduled_message_leaves_at_its_time_and_not_before(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", ready_at_ms=clock() + 500), outgoing("b")])

        now = await lease(unlimited)
        await settle(unlimited, now)
        clock.advance(499)
        too_early = await leased_ids(unlimited)
        clock.advance(1)

        assert [each.message.id for each in now] == ["b"]
        assert too_early == []
        assert await leased_ids(unlimited) == ["a"]

    async def test_an_expired_message_is_reported_once_and_never_leased(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", expires_at_ms=clock() + 500), outgoing("b")])
        await unlimited.hold([Hold(1, 7, clock() + 500)])
        clock.advance(500)

        first = await unlimited.lease(worker_id="worker", slots=1)
        second = await unlimited.lease(worker_id="worker", slots=1)

        assert [message.id for message in first.expired] == ["a"]
        assert [each.message.id for each in first.leases] == ["b"]
        assert second.expired == ()

    async def test_a_message_may_go_until_the_millisecond_before_it_expires(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [outgoing("a", expires_at_ms=clock() + 500)])
        clock.advance(499)

        assert await leased_ids(unlimited) == ["a"]

    async def test_a_scheduled_message_can_expire(self, unlimited: Broker, clock: Clock) -> None:
        later = outgoing("a", ready_at_ms=clock() + 900, expires_at_ms=clock() + 500)
        admission = await unlimited.admit([later], worker_id="intake", slots=1)
        clock.advance(500)

        leased = await unlimited.lease(worker_id="worker", slots=1)

        assert admission.leased.wake_at_ms == clock()
        assert [message.id for message in leased.expired] == ["a"]

    async def test_a_leased_message_does_not_expire(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", expires_at_ms=clock() + 500)])
        leases = await lease(unlimited)
        clock.advance(500)

        while_leased = await unlimited.lease(worker_id="worker", slots=1)
        await settle(unlimited, leases, Again(0))
        afterwards = await unlimited.lease(worker_id="worker", slots=1)

        assert while_leased.expired == ()
        assert [message.id for message in afterwards.expired] == ["a"]
        assert afterwards.leases == ()

    async def test_an_admission_without_slots_finds_nothing_expired_and_leaves_it_to_the_next_lease(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [outgoing("a", expires_at_ms=clock() - 1)])
        queued = await unlimited.admit([outgoing("b", chat_id=8)], worker_id="", slots=0)

        leased = await unlimited.lease(worker_id="worker", slots=1)

        assert (queued.leased.expired, queued.leased.wake_at_ms) == ((), clock())
        assert [message.id for message in leased.expired] == ["a"]

    async def test_an_expired_message_says_how_many_attempts_it_spent(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", expires_at_ms=clock() + 500)])
        await settle(unlimited, await lease(unlimited), Again(0))
        clock.advance(500)

        leased = await unlimited.lease(worker_id="worker", slots=1)

        assert [(message.id, message.attempt) for message in leased.expired] == [("a", 1)]

    async def test_when_a_whole_backlog_expires_none_of_it_is_sent(self, unlimited: Broker, clock: Clock) -> None:
        backlog = [structs.replace(message, expires_at_ms=clock() + 500) for message in many(BATCH_MAX + 10)]
        await queue(unlimited, backlog)
        clock.advance(600)

        first = await unlimited.lease(worker_id="worker", slots=BATCH_MAX)
        second = await unlimited.lease(worker_id="worker", slots=BATCH_MAX)

        assert {each.id for each in (*first.expired, *second.expired)} == {each.id for each in backlog}
        assert (first.leases, second.leases, second.wake_at_ms) == ((), (), None)

    async def test_while_a_backlog_expires_an_urgent_message_of_another_bot_goes_at_once(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(Limits())
        backlog = [structs.replace(each, expires_at_ms=clock() + 500) for each in many(4 * EXPIRED_MAX)]
        await queue(broker, backlog)
        clock.advance(500)
        await queue(broker, [outgoing("urgent", bot_id=2, priority=HIGH)])

        leased = await broker.lease(worker_id="worker", slots=2)

        assert [each.message.id for each in leased.leases] == ["urgent"]
        assert len(leased.expired) <= EXPIRED_MAX + 1
        assert leased.wake_at_ms == clock()

    async def test_while_one_bots_backlog_expires_another_bot_has_every_other_turn(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        backlog = [structs.replace(each, expires_at_ms=clock() + 500) for each in many(4 * EXPIRED_MAX)]
        await queue(unlimited, backlog)
        await queue(unlimited, many(20, prefix="other", bot_id=2))
        clock.advance(500)

        leased = await unlimited.lease(worker_id="worker", slots=10)

        assert len(leased.leases) == 5
        assert {each.message.bot_id for each in leased.leases} == {2}

    async def test_every_message_of_a_backlog_that_expires_is_reported_once(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        backlog = [structs.replace(each, expires_at_ms=clock() + 500) for each in many(3 * EXPIRED_MAX)]
        await queue(unlimited, backlog)
        await queue(unlimited, many(100, prefix="other", bot_id=2))
        clock.advance(500)

        answers = [await unlimited.lease(worker_id="worker", slots=40) for _ in range(6)]

        expired = [message.id for answer in answers for message in answer.expired]
        leased = [each.message.id for answer in answers for each in answer.leases]
        assert sorted(expired) == [message.id for message in backlog]
        assert sorted(leased) == [message.id for message in many(100, prefix="other", bot_id=2)]

    async def test_what_stands_behind_an_expired_message_of_its_chat_goes_when_that_is_taken_out(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [structs.replace(each, expires_at_ms=clock() + 400) for each in many(EXPIRED_MAX)])
        chat = [outgoing("x1", bot_id=2, chat_id=7, expires_at_ms=clock() + 500), outgoing("x2", bot_id=2, chat_id=7)]
        await queue(unlimited, chat)
        clock.advance(500)

        leased = await unlimited.lease(worker_id="worker", slots=2)

        assert [each.message.id for each in leased.leases] == ["x2"]
        assert "x1" in [message.id for message in leased.expired]

    async def test_a_lease_says_to_the_millisecond_when_more_can_go(self, broker: Broker, clock: Clock) -> None:
        await queue(broker, many(4, chat_id=-100, priority=HIGH))
        nothing_settled = await wake_in_ms(broker, clock)
        await broker.hold([Hold(1, -100, clock() + 700)])
        await settle(broker, await lease(broker))
        held = await wake_in_ms(broker, clock)

        assert nothing_settled is None
        assert held is None or held == 700

    @pytest.mark.parametrize(
        ("limits", "wake_ms"),
        [
            (Limits(ceiling=NONE, bot=Limit(1, 1_000), saved_up=1), 1_001),
            (Limits(ceiling=Limit(1, 700), bot=NONE), 701),
            (Limits(ceiling=NONE, bot=NONE, chat=Limit(1, 300, burst=1, leaks=True)), 301),
            (Limits(ceiling=NONE, bot=NONE, chat=Limit(1, 60_000)), 60_001),
        ],
    )
    async def test_a_lease_says_when_the_next_place_of_each_limit_is_free(
        self, make: MakeBroker, clock: Clock, limits: Limits, wake_ms: int
    ) -> None:
        broker = make(limits)
        await queue(broker, many(2, chat_id=7, priority=HIGH))
        await settle(broker, await lease(broker))

        assert await wake_in_ms(broker, clock) == wake_ms

    async def test_a_lease_says_when_a_hold_a_backoff_and_a_send_time_end(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, [outgoing("a", bot_id=1), outgoing("b", bot_id=2)])
        await settle(unlimited, await lease(unlimited), Again(900))
        backoff = await wake_in_ms(unlimited, clock)
        await queue(unlimited, [outgoing("c", bot_id=3)])
        await unlimited.hold([Hold(3, None, clock() + 800)])
        hold = await wake_in_ms(unlimited, clock)
        await queue(unlimited, [outgoing("d", bot_id=4, ready_at_ms=clock() + 700)])

        assert (backoff, hold, await wake_in_ms(unlimited, clock)) == (900, 800, 700)

    async def test_a_lease_that_runs_out_of_slots_says_come_back_at_once(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(2))

        leased = await unlimited.lease(worker_id="worker", slots=1)

        assert leased.wake_at_ms == clock()

    async def test_with_nothing_waiting_only_an_event_can_wake(self, unlimited: Broker, clock: Clock) -> None:
        assert await wake_in_ms(unlimited, clock) is None

    async def test_waiting_ends_at_its_time(self, unlimited: Broker, clock: Clock) -> None:
        await lease(unlimited)

        async with asyncio.timeout(5):
            await unlimited.wait(until_ms=clock())

    async def test_waiting_ends_when_something_may_go(self, unlimited: Broker) -> None:
        await lease(unlimited)
        waiting = asyncio.create_task(unlimited.wait(until_ms=None))
        await asyncio.sleep(0)

        await queue(unlimited, many(1))

        async with asyncio.timeout(5):
            await waiting

    async def test_what_happened_between_the_lease_and_the_wait_is_not_missed(self, unlimited: Broker) -> None:
        await queue(unlimited, many(2, chat_id=7))
        leases = await lease(unlimited)
        await settle(unlimited, leases)

        async with asyncio.timeout(5):
            await unlimited.wait(until_ms=None)
