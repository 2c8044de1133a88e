"""A lease has one holder, a deadline and a number."""

from __future__ import annotations

from dataclasses import replace

from msgspec import structs

from tempogram.engine.limits.limits import Limit
from tempogram.engine.model.messages import (
    Again,
)
from tempogram.engine.ports import Broker, Settled
from tests.engine.brokers.contract.steps import LEASE_MS, UNLIMITED, MakeBroker, lease, leased_ids, many, queue, settle
from tests.fakes import Clock


class Leases:
    async def test_a_lease_names_its_worker_its_deadline_and_its_attempt(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(1))

        (mine,) = await lease(unlimited)

        assert (mine.worker_id, mine.expires_at_ms, mine.attempt) == ("worker", clock() + LEASE_MS, 1)
        assert mine.incarnation == unlimited.incarnation

    async def test_a_lease_is_settled_once(self, unlimited: Broker) -> None:
        await queue(unlimited, many(1))
        leases = await lease(unlimited)

        answers = [(await settle(unlimited, leases))[0] for _ in range(2)]

        assert answers == [Settled(held=True), Settled(held=False)]

    async def test_a_worker_that_lost_its_lease_can_no_longer_settle_it(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(1))
        (mine,) = await lease(unlimited)
        clock.advance(LEASE_MS)
        (recovered,) = await unlimited.recover(worker_id="recoverer", slots=1)

        (of_the_old,) = await settle(unlimited, [mine])
        (of_the_new,) = await settle(unlimited, [recovered])

        assert recovered.number > mine.number
        assert (recovered.worker_id, recovered.attempt) == ("recoverer", 1)
        assert (of_the_old.held, of_the_new.held) == (False, True)

    async def test_a_lease_of_another_incarnation_is_refused(self, unlimited: Broker) -> None:
        await queue(unlimited, many(1))
        (mine,) = await lease(unlimited)
        foreign = structs.replace(mine, incarnation=mine.incarnation + 1)

        assert (await settle(unlimited, [foreign]))[0].held is False
        assert await unlimited.extend([foreign], by_ms=1) == [False]

    async def test_numbers_rise_with_every_lease(self, unlimited: Broker) -> None:
        await queue(unlimited, many(3))
        leases = await lease(unlimited)
        await settle(unlimited, leases[:1], Again(0))

        numbers = [each.number for each in (*leases, *await lease(unlimited))]

        assert numbers == sorted(set(numbers))

    async def test_a_lease_that_ran_out_can_be_settled_until_another_worker_has_the_message(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, many(1))
        leases = await lease(unlimited)
        clock.advance(LEASE_MS * 2)

        (answer,) = await settle(unlimited, leases)

        assert answer.held

    async def test_an_extended_lease_is_not_recovered_before_its_new_deadline(
        self, unlimited: Broker, clock: Clock
    ) -> None:
        await queue(unlimited, many(1))
        leases = await lease(unlimited)
        extended = await unlimited.extend(leases, by_ms=LEASE_MS + 1)

        clock.advance(LEASE_MS)
        too_early = await unlimited.recover(worker_id="recoverer", slots=1)
        clock.advance(1)

        assert extended == [True]
        assert too_early == []
        assert len(await unlimited.recover(worker_id="recoverer", slots=1)) == 1

    async def test_a_lost_lease_cannot_be_extended(self, unlimited: Broker) -> None:
        await queue(unlimited, many(1))
        leases = await lease(unlimited)
        await settle(unlimited, leases)

        assert await unlimited.extend(leases, by_ms=1_000) == [False]

    async def test_a_recovered_message_keeps_its_places_and_its_chat(self, make: MakeBroker, clock: Clock) -> None:
        broker = make(replace(UNLIMITED, bot=Limit(1, 1_000)))
        await queue(broker, many(2, chat_id=7))
        await lease(broker)
        clock.advance(LEASE_MS)

        recovered = await broker.recover(worker_id="recoverer", slots=10)

        assert len(recovered) == 1
        assert await leased_ids(broker) == []

    async def test_the_longest_lost_lease_is_recovered_first(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(3))
        leases = await lease(unlimited)
        await unlimited.extend(leases[:1], by_ms=LEASE_MS + 5)
        clock.advance(LEASE_MS + 5)

        recovered = await unlimited.recover(worker_id="recoverer", slots=2)

        assert [each.message.id for each in recovered] == ["m0001", "m0002"]
