"""Priorities, bots and chats take turns by their shares and weights."""

from __future__ import annotations

from collections import Counter

from msgspec import structs

from tempogram.engine.model.messages import (
    Priority,
)
from tempogram.engine.ports import Broker
from tests.engine.brokers.contract.steps import HIGH, LOW, NORMAL, lease, leased_ids, many, queue, send_all, settle
from tests.fakes import Clock, outgoing


class Shares:
    async def test_priorities_share_sixteen_to_four_to_one(self, unlimited: Broker) -> None:
        for priority in Priority:
            await queue(unlimited, many(200, prefix=priority, priority=priority))

        leases = [(await lease(unlimited, slots=1))[0] for _ in range(210)]

        counts = Counter(each.message.priority for each in leases)
        assert counts == {HIGH: 160, NORMAL: 40, LOW: 10}

    async def test_priorities_share_places_and_not_messages(self, unlimited: Broker) -> None:
        costs = {HIGH: 2, NORMAL: 4, LOW: 1}
        for priority, cost in costs.items():
            messages = many(200, prefix=priority, priority=priority)
            await queue(unlimited, [structs.replace(message, cost=cost) for message in messages])

        leases = [(await lease(unlimited, slots=1))[0] for _ in range(80 + 10 + 10)]

        places: Counter[Priority] = Counter()
        for each in leases:
            places[each.message.priority] += each.message.cost
        assert places == {HIGH: 160, NORMAL: 40, LOW: 10}

    async def test_low_goes_on_behind_an_endless_stream_of_high(self, unlimited: Broker) -> None:
        await queue(unlimited, many(10, prefix="low", priority=LOW))

        ids = []
        for n in range(100):
            await queue(unlimited, many(2, prefix=f"high{n:03}-", priority=HIGH))
            leases = await lease(unlimited, slots=1)
            await settle(unlimited, leases)
            ids += [each.message.id for each in leases]

        assert 4 <= sum(message_id.startswith("low") for message_id in ids) <= 7

    async def test_bots_take_turns(self, unlimited: Broker) -> None:
        for bot_id, count in ((1, 20), (2, 3)):
            await queue(unlimited, many(count, prefix=f"bot{bot_id}-", bot_id=bot_id))

        assert [message_id[3] for message_id in await leased_ids(unlimited, slots=8)] == [*"12121211"]

    async def test_a_bot_of_weight_three_gets_three_turns_for_one(self, unlimited: Broker) -> None:
        await unlimited.weigh(1, 3)
        for bot_id in (1, 2):
            await queue(unlimited, many(60, prefix=f"bot{bot_id}-", bot_id=bot_id))

        leases = await lease(unlimited, slots=40)

        assert Counter(each.message.bot_id for each in leases) == {1: 30, 2: 10}

    async def test_a_weight_acts_while_messages_wait(self, unlimited: Broker) -> None:
        for bot_id in (1, 2):
            await queue(unlimited, many(60, prefix=f"bot{bot_id}-", bot_id=bot_id))
        await lease(unlimited, slots=2)

        await unlimited.weigh(1, 3)
        leases = await lease(unlimited, slots=40)

        assert abs(Counter(each.message.bot_id for each in leases)[1] - 30) <= 1

    async def test_chats_of_a_bot_take_turns(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, many(4, prefix="a", chat_id=1))
        await queue(unlimited, many(2, prefix="b", chat_id=2))

        sent = await send_all(unlimited, clock, for_ms=1)

        assert [message_id[0] for _, message_id in sent] == [*"ababaa"]

    async def test_a_newcomer_does_not_claim_the_turns_it_missed(self, unlimited: Broker) -> None:
        await queue(unlimited, many(60, prefix="bot1-", bot_id=1))
        await lease(unlimited, slots=40)

        await queue(unlimited, many(60, prefix="bot2-", bot_id=2))
        leases = await lease(unlimited, slots=10)

        assert abs(Counter(each.message.bot_id for each in leases)[2] - 5) <= 1

    async def test_an_album_counts_as_as_many_turns_as_it_has_items(self, unlimited: Broker) -> None:
        albums = [outgoing(f"a{n}", bot_id=1, chat_id=n + 1, cost=10) for n in range(5)]
        await queue(unlimited, [*albums, *many(40, bot_id=2)])

        leases = await lease(unlimited, slots=22)

        assert Counter(each.message.bot_id for each in leases) == {1: 2, 2: 20}

    async def test_a_bot_that_was_paused_for_long_does_not_claim_the_turns_it_missed(self, unlimited: Broker) -> None:
        for bot_id in (1, 2):
            await queue(unlimited, many(150, prefix=f"bot{bot_id}-", bot_id=bot_id))
        await unlimited.pause(2, paused=True)
        for _ in range(2):
            await lease(unlimited)

        await unlimited.pause(2, paused=False)
        leases = await lease(unlimited, slots=50)

        assert Counter(each.message.bot_id for each in leases)[1] >= (50 - 18) // 2
