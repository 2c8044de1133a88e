"""A call that Telegram refused has put nothing into its chat: of its places one stays taken, for the call itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tempogram.engine.limits.limits import Limit
from tempogram.engine.model.messages import Done, HoldChat, Settlement, Then
from tempogram.engine.ports import Broker
from tests.engine.brokers.contract.bursts import limited
from tests.engine.brokers.contract.steps import (
    HIGH,
    LOW,
    UNLIMITED,
    MakeBroker,
    lease,
    leased_ids,
    many,
    queue,
    settle,
    wake_in_ms,
)
from tests.fakes import Clock, outgoing

PRIVATE = Limit(1, 1_000, burst=3, leaks=True)


async def refuse(broker: Broker, then: Then | None = None) -> None:
    """Lease what may go, and settle it as refused."""
    leases = await lease(broker)
    await broker.settle([Settlement(each, then or Done(), 0, alive=True, refused=True) for each in leases])


class Refused:
    async def test_a_private_chat_owes_one_place_for_a_call_that_would_have_made_a_hundred_messages(
        self, make: MakeBroker
    ) -> None:
        """It owed all of them: the chat waited for 98 seconds, and after an album of 30,000 for more than 8 hours."""
        broker = make(replace(UNLIMITED, chat=PRIVATE))
        await queue(broker, [outgoing("copies", chat_id=7, cost=100)])
        await refuse(broker)

        await queue(broker, many(3, chat_id=7))

        assert [await leased_ids(broker)] == [["m0000"]]

    async def test_a_chat_that_is_held_after_a_refusal_takes_the_call_again_when_the_hold_ends(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(replace(UNLIMITED, chat=PRIVATE))
        await queue(broker, [outgoing("copies", chat_id=7, cost=100)])
        await refuse(broker, HoldChat(5_000))

        clock.advance(5_000)

        assert await leased_ids(broker) == ["copies"]

    @pytest.mark.parametrize("which", ["ceiling", "bot"])
    async def test_what_is_not_urgent_is_spaced_by_one_place_after_a_refused_call(
        self, make: MakeBroker, clock: Clock, which: str
    ) -> None:
        broker = make(limited(which, Limit(10, 1_000)))
        await queue(broker, [outgoing("album", chat_id=7, cost=10, priority=LOW)])
        await refuse(broker)

        await queue(broker, many(3, priority=LOW))
        at_once = await leased_ids(broker)

        assert at_once == ["m0000"]
        assert await wake_in_ms(broker, clock) == 100

    async def test_a_bucket_besides_a_window_is_full_again_but_for_one_place(
        self, make: MakeBroker, clock: Clock
    ) -> None:
        broker = make(limited("group", Limit(20, 60_000, burst=4)))
        await queue(broker, [outgoing("album", chat_id=-5, cost=10, priority=HIGH)])
        await refuse(broker)

        sent = []
        await queue(broker, many(5, chat_id=-5, priority=HIGH))
        while leases := await lease(broker):
            await settle(broker, leases)
            sent += [each.message.id for each in leases]

        assert sent == ["m0000", "m0001", "m0002"]
        assert await wake_in_ms(broker, clock) == 3_000

    async def test_a_group_has_the_places_of_a_refused_album_at_once(self, make: MakeBroker) -> None:
        broker = make(replace(UNLIMITED, group=Limit(10, 60_000)))
        await queue(broker, [outgoing("album", chat_id=-5, cost=10)])
        await refuse(broker)

        await queue(broker, [outgoing("nine", chat_id=-5, cost=9), outgoing("one", chat_id=-5)])
        nine = await lease(broker)
        await settle(broker, nine)

        assert [each.message.id for each in nine] == ["nine"]
        assert await leased_ids(broker) == []
