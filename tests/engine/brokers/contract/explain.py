"""A message says why it waits."""

from __future__ import annotations

from dataclasses import replace

from tempogram.engine.limits.limits import Limit
from tempogram.engine.model.messages import (
    Again,
    Hold,
    HoldChat,
)
from tempogram.engine.ports import Broker, WaitsAt
from tests.engine.brokers.contract.steps import (
    HIGH,
    UNLIMITED,
    MakeBroker,
    explained,
    lease,
    many,
    queue,
    send_all,
    settle,
    waits_at,
)
from tests.fakes import Clock, outgoing


class Explain:
    async def test_a_message_that_is_scheduled_says_until_when(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", ready_at_ms=clock() + 5_000)])

        assert await explained(unlimited, clock, "a") == (WaitsAt.SCHEDULED, 0, 0, 5_000)

    async def test_a_message_says_at_which_gate_its_lane_waits(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, group=Limit(2, 60_000)))
        await queue(broker, many(7, chat_id=-1))
        assert await waits_at(broker, "m0000") is WaitsAt.TURN

        (first,) = await lease(broker)
        in_flight = await waits_at(broker, "m0001")
        await settle(broker, [first], Again(700))
        backoff = await waits_at(broker, "m0001")
        clock.advance(700)
        await settle(broker, await lease(broker), HoldChat(800))
        held = await waits_at(broker, "m0001")
        clock.advance(800)
        await send_all(broker, clock, for_ms=10)
        full = await waits_at(broker, "m0006")

        expected = (WaitsAt.CHAT_IN_FLIGHT, WaitsAt.BACKOFF, WaitsAt.CHAT_HELD, WaitsAt.CHAT_WINDOW)
        assert (in_flight, backoff, held, full) == expected

    async def test_a_message_says_at_which_gate_its_bot_waits(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(4, 1_000), saved_up=2))
        await queue(broker, many(6))
        await lease(broker)
        spaced = await waits_at(broker, "m0005")
        await queue(broker, many(3, prefix="h", priority=HIGH))
        await lease(broker)
        full = await waits_at(broker, "h0002")
        await broker.hold([Hold(1, None, clock() + 900)])
        held = await waits_at(broker, "h0002")
        await broker.pause(1, paused=True)

        assert (spaced, full, held) == (WaitsAt.SPACING, WaitsAt.BOT_WINDOW, WaitsAt.BOT_HELD)
        assert await explained(broker, clock, "h0002") == (WaitsAt.BOT_PAUSED, 0, 0, None)

    async def test_a_message_says_that_the_ceiling_keeps_it_back(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, ceiling=Limit(1, 1_000)))
        await queue(broker, many(2, priority=HIGH))
        await lease(broker)

        assert await waits_at(broker, "m0001") is WaitsAt.CEILING

    async def test_a_message_says_how_many_go_before_it_and_when_it_goes_at_the_earliest(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, group=Limit(20, 60_000)))
        await queue(broker, [*many(50, chat_id=-1, priority=HIGH), *many(3, prefix="o", chat_id=-2, priority=HIGH)])

        explanation = await explained(broker, clock, "m0045")
        sent = {message_id: at_ms for at_ms, message_id in await send_all(broker, clock, for_ms=200_000)}

        assert explanation == (WaitsAt.TURN, 45, 48, 120_000)
        assert sent["m0045"] == 120_002  # each is taken to be counted at the end of its millisecond

    async def test_what_is_leased_or_unknown_has_nothing_to_explain(self, unlimited: Broker) -> None:
        await queue(unlimited, [outgoing("a")])
        await lease(unlimited)

        assert await unlimited.explain("a") is None
        assert await unlimited.explain("b") is None
