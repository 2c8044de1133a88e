"""Every message counts once, and a verb takes at most a batch."""

from __future__ import annotations

from collections.abc import Callable, Coroutine

import pytest

from tempogram.engine.model.messages import (
    Again,
    Hold,
    Lease,
    PastSend,
)
from tempogram.engine.ports import Broker, Duplicate, Queued
from tempogram.engine.ports.broker import BATCH_MAX
from tests.engine.brokers.contract.steps import HIGH, LOW, NORMAL, lease, many, queue, settle, wake_in_ms
from tests.fakes import Clock, outgoing


class Counting:
    async def test_the_same_id_is_admitted_once(self, unlimited: Broker) -> None:
        (message,) = many(1)
        twice = await unlimited.admit([message, message], worker_id="intake", slots=0)
        await lease(unlimited)
        while_leased = await unlimited.admit([message], worker_id="intake", slots=1)

        assert twice.verdicts == (Queued(), Duplicate())
        assert while_leased.verdicts == (Duplicate(),)
        assert while_leased.leased.leases == ()

    async def test_a_broker_knows_what_waits_or_is_leased_and_forgets_what_is_done(self, unlimited: Broker) -> None:
        await queue(unlimited, many(3))
        leases = await lease(unlimited, slots=2)
        await settle(unlimited, leases[:1])

        assert await unlimited.knows(["m0000", "m0001", "m0002", "m0003"]) == [False, True, True, False]

    async def test_every_message_counts_once(self, unlimited: Broker, clock: Clock) -> None:
        await queue(unlimited, [*many(2), outgoing("later", priority=LOW, chat_id=50, ready_at_ms=clock() + 1)])
        await queue(unlimited, many(1, prefix="bot2-", bot_id=2, priority=HIGH))
        leases = await lease(unlimited)
        await settle(unlimited, [each for each in leases if each.message.id == "m0001"], Again(1_000))

        stats = await unlimited.stats()

        assert dict(stats.waiting) == {HIGH: 1, NORMAL: 1, LOW: 1}
        assert (stats.retry, stats.leased) == (1, 2)
        assert dict(stats.bots) == {1: 3, 2: 1}

    async def test_a_message_that_is_tried_again_counts_under_its_priority_while_it_is_leased(
        self, unlimited: Broker
    ) -> None:
        await queue(unlimited, many(1))
        await settle(unlimited, await lease(unlimited), Again(0))
        waiting = await unlimited.stats()
        await lease(unlimited)
        leased = await unlimited.stats()

        assert (waiting.retry, waiting.waiting[NORMAL]) == (1, 0)
        assert (leased.retry, leased.waiting[NORMAL]) == (0, 1)

    async def test_a_start_may_give_any_number_of_holds_and_past_sends(self, unlimited: Broker, clock: Clock) -> None:
        count = BATCH_MAX * 2
        await queue(unlimited, many(count))

        await unlimited.hold([Hold(1, n + 1, clock() + 500) for n in range(count)])
        await unlimited.restore([PastSend(1, n + 1, clock(), 1) for n in range(count)], wait_until_ms={})

        assert await wake_in_ms(unlimited, clock) == 500

    @pytest.mark.parametrize("verb", ["admit", "settle", "extend", "cancel", "knows"])
    async def test_more_than_a_batch_is_refused(self, unlimited: Broker, verb: str) -> None:
        messages = many(BATCH_MAX + 1)
        leases = [Lease(message, 1, "worker", unlimited.incarnation, 1, 0) for message in messages]
        calls: dict[str, Callable[[], Coroutine[None, None, object]]] = {
            "admit": lambda: unlimited.admit(messages, worker_id="intake", slots=0),
            "settle": lambda: settle(unlimited, leases),
            "extend": lambda: unlimited.extend(leases, by_ms=1),
            "cancel": lambda: unlimited.cancel([message.id for message in messages]),
            "knows": lambda: unlimited.knows([message.id for message in messages]),
        }

        with pytest.raises(ValueError, match=str(BATCH_MAX)):
            await calls[verb]()

        assert sum((await unlimited.stats()).waiting.values()) == 0
