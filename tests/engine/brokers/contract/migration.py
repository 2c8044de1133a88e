"""Two ids of one chat share its windows, holds and messages."""

from __future__ import annotations

from dataclasses import replace

from tempogram.engine.limits.limits import Limit
from tempogram.engine.model.messages import (
    Again,
    Hold,
    MoveChat,
)
from tempogram.engine.ports import Broker
from tests.engine.brokers.contract.steps import (
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


class Migration:
    async def test_migration_moves_the_windows(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, group=Limit(2, 60_000)))
        await queue(broker, many(1, prefix="old", chat_id=-1))
        await queue(broker, many(2, prefix="new", chat_id=-2))
        await settle(broker, await lease(broker))

        await broker.migrate(1, -1, -2)

        assert await leased_ids(broker) == []
        assert await wake_in_ms(broker, clock) == 60_001

    async def test_migration_moves_what_waits_and_keeps_the_order(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [outgoing("a", chat_id=-2), outgoing("b", chat_id=-1), outgoing("c", chat_id=-2)])

        await unlimited.migrate(1, -1, -2)
        sent = await send_all(unlimited, clock, for_ms=1)

        assert [message_id for _, message_id in sent] == ["a", "b", "c"]

    async def test_migration_moves_holds(self, unlimited: Broker, clock: Clock) -> None:
        await unlimited.hold([Hold(1, -1, clock() + 1_000)])
        await queue(unlimited, [outgoing("a", chat_id=-2)])

        await unlimited.migrate(1, -1, -2)

        assert await wake_in_ms(unlimited, clock) == 1_000

    async def test_migration_moves_a_backoff(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(1, chat_id=-1))
        await settle(unlimited, await lease(unlimited), Again(700))

        await unlimited.migrate(1, -1, -2)

        assert await wake_in_ms(unlimited, clock) == 700

    async def test_migration_moves_what_is_in_flight(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, group=Limit(1, 60_000)))
        await queue(broker, [outgoing("a", chat_id=-1), outgoing("b", chat_id=-2)])
        leases = await lease(broker, slots=1)

        await broker.migrate(1, -1, -2)
        while_in_flight = await leased_ids(broker)
        await settle(broker, leases)

        assert while_in_flight == []
        assert await wake_in_ms(broker, clock) == 60_001

    async def test_what_comes_for_the_old_name_later_goes_to_the_new_one(self, unlimited: Broker) -> None:
        await unlimited.migrate(1, "@news", -5)
        await unlimited.migrate(1, -5, -6)
        await queue(unlimited, [outgoing("a", chat_id=-6), outgoing("b", chat_id="@news")])

        assert await leased_ids(unlimited) == ["a"]

    async def test_what_waited_for_the_old_id_is_sent_to_the_new_one(self, unlimited: Broker) -> None:
        await queue(unlimited, many(2, chat_id=-1))
        await settle(unlimited, await lease(unlimited), MoveChat(-2))
        await queue(unlimited, [outgoing("z", chat_id=-1)])

        for _ in range(3):
            (mine,) = await lease(unlimited)
            assert mine.message.chat_id == -2
            await settle(unlimited, [mine])

    async def test_a_message_that_found_its_chat_moved_goes_first_and_spends_no_attempt(
        self, unlimited: Broker
    ) -> None:
        await queue(unlimited, many(2, chat_id=-1))
        await settle(unlimited, await lease(unlimited), MoveChat(-2))

        (first,) = await lease(unlimited)

        assert (first.message.id, first.attempt) == ("m0000", 1)
