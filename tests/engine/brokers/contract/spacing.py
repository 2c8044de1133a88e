"""While a message may go it goes; normal and low leave a bot spaced."""

from __future__ import annotations

import pytest

from tempogram.engine.limits.limits import Limits
from tempogram.engine.ports import Broker, Queued
from tempogram.engine.ports.broker import BATCH_MAX
from tests.engine.brokers.contract.steps import HIGH, LOW, MakeBroker, lease, many, queue, send_all
from tests.fakes import Clock, outgoing


class Spacing:
    async def test_normal_messages_leave_two_at_once_and_then_one_a_slot(self, broker: Broker, clock: Clock) -> None:
        await queue(broker, many(5))

        sent = await send_all(broker, clock, for_ms=200)

        assert [at_ms for at_ms, _ in sent] == [0, 0, 34, 67, 100]

    async def test_as_many_leave_at_once_as_may_be_saved_up(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(Limits(saved_up=5))
        await queue(broker, many(8))

        sent = await send_all(broker, clock, for_ms=200)

        assert [at_ms for at_ms, _ in sent] == [0, 0, 0, 0, 0, 34, 67, 100]

    async def test_low_and_normal_are_spaced_together(self, broker: Broker) -> None:
        await queue(broker, many(2))
        await queue(broker, many(2, prefix="low", priority=LOW))

        assert len(await lease(broker)) == 2

    async def test_all_bots_together_are_spaced_below_the_ceiling(self, broker: Broker) -> None:
        for bot_id in (1, 2, 3):
            await queue(broker, many(1, prefix=f"bot{bot_id}-", bot_id=bot_id))

        assert len(await lease(broker)) == 2

    async def test_high_uses_every_free_place(self, broker: Broker) -> None:
        await queue(broker, many(40, priority=HIGH))

        assert len(await lease(broker)) == 30

    @pytest.mark.parametrize("after_ms", [1, 900, 1_002, 3_000, 3_050, 5_000])
    async def test_an_urgent_message_behind_six_hundred_low_ones_waits_at_most_a_slot(
        self, broker: Broker, clock: Clock, after_ms: int
    ) -> None:
        await queue(broker, many(600, prefix="low", priority=LOW))
        await send_all(broker, clock, for_ms=after_ms)

        await queue(broker, [outgoing("urgent", chat_id=-5, priority=HIGH)])
        sent = await send_all(broker, clock, for_ms=34)

        assert sent[0][1] == "urgent"

    async def test_the_fortieth_urgent_message_waits_no_longer_than_the_first(
        self, broker: Broker, clock: Clock
    ) -> None:
        await queue(broker, [*many(350, prefix="low", priority=LOW), *many(350)])
        await send_all(broker, clock, for_ms=2_000)

        for n in range(40):
            await queue(broker, [outgoing(f"urgent{n:03}", chat_id=-5 - n, priority=HIGH)])
            sent = await send_all(broker, clock, for_ms=100)
            assert f"urgent{n:03}" in [message_id for at_ms, message_id in sent if at_ms <= sent[0][0] + 1]

    async def test_with_a_backlog_the_limit_is_used(self, broker: Broker, clock: Clock) -> None:
        await queue(broker, many(400))

        sent = await send_all(broker, clock, for_ms=10_000)

        after_the_first_window = [at_ms for at_ms, _ in sent if 1_000 <= at_ms < 10_000]
        assert len(after_the_first_window) >= 9 * 30 * 1_000 // 1_025

    async def test_no_more_are_leased_than_there_are_slots(self, unlimited: Broker) -> None:
        await queue(unlimited, many(60))

        assert len(await lease(unlimited, slots=3)) == 3
        assert len(await lease(unlimited, slots=1_000)) == BATCH_MAX
        assert await lease(unlimited, slots=0) == []

    async def test_what_is_admitted_goes_at_once_when_it_may(self, unlimited: Broker) -> None:
        admission = await unlimited.admit(many(2), worker_id="intake", slots=1)

        assert admission.verdicts == (Queued(), Queued())
        assert [each.message.id for each in admission.leased.leases] == ["m0000"]
