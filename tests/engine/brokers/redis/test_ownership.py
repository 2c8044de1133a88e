"""A queue in Redis belongs to one ledger; a process of another one gets nothing of it, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from tempogram.engine.brokers.redis.broker import RedisBroker
from tempogram.engine.brokers.redis.ownership import Ownership
from tempogram.engine.model.errors import QueueLost, QueueOfAnother
from tests.engine.brokers.contract.steps import LEASE_MS, UNLIMITED, leased_ids, many, queue
from tests.fakes import Clock, outgoing

Broker = RedisBroker
VERBS: dict[str, Callable[[Broker], Awaitable[object]]] = {
    "admit": lambda broker: broker.admit(many(1), worker_id="", slots=0),
    "lease": lambda broker: broker.lease(worker_id="w", slots=1),
    "recover": lambda broker: broker.recover(worker_id="w", slots=1),
    "cancel": lambda broker: broker.cancel(["m0000"]),
    "knows": lambda broker: broker.knows(["m0000"]),
    "explain": lambda broker: broker.explain("m0000"),
    "stats": lambda broker: broker.stats(),
    "pause": lambda broker: broker.pause(1, paused=True),
    "begin": lambda broker: broker.begin(),
    "claim": lambda broker: broker.claim(),
}


@pytest.fixture
def of_ledger(redis: Redis, clock: Clock) -> Callable[..., Broker]:
    def make(ledger_id: str, *, schema: int = 1) -> Broker:
        ownership = Ownership(ledger_id)
        return RedisBroker(redis, UNLIMITED, lease_ms=LEASE_MS, clock=clock, ownership=ownership, schema=schema)

    return make


async def begun(broker: Broker) -> None:
    """Begin its queue, rebuilt, with one message."""
    new = await broker.begin()
    await queue(new, many(1))
    await new.restore([], wait_until_ms={})


@pytest.mark.parametrize("verb", VERBS)
async def test_every_verb_of_another_ledger_is_refused_and_changes_nothing(
    of_ledger: Callable[..., Broker], verb: str
) -> None:
    mine, other = of_ledger("mine"), of_ledger("other")
    await begun(mine)

    with pytest.raises(QueueOfAnother, match=r"redis://localhost:6379/1 .* delete the key \{q1\}:ledger"):
        await VERBS[verb](other)

    assert other._ownership is not None
    assert other._ownership.is_refused.is_set()
    assert await leased_ids(mine) == ["m0000"]


async def test_two_processes_of_one_ledger_share_its_queue(of_ledger: Callable[..., Broker]) -> None:
    one, two = of_ledger("mine"), of_ledger("mine")
    await one.claim()
    await two.claim()
    await begun(one)

    assert await leased_ids(two) == ["m0000"]


async def test_of_two_ledgers_that_claim_an_empty_redis_at_once_one_has_it(of_ledger: Callable[..., Broker]) -> None:
    brokers = [of_ledger(name) for name in ("a", "b", "c")]

    outcomes = await asyncio.gather(*(broker.claim() for broker in brokers), return_exceptions=True)

    assert sorted(type(each).__name__ for each in outcomes) == ["NoneType", "QueueOfAnother", "QueueOfAnother"]


async def test_a_flushed_redis_takes_the_id_anew(redis: Redis, of_ledger: Callable[..., Broker]) -> None:
    mine, other = of_ledger("mine"), of_ledger("other")
    await begun(mine)

    await redis.flushall()
    with pytest.raises(QueueLost):
        await mine.stats()
    await begun(mine)

    assert await redis.get("{q1}:ledger") == b"mine"
    with pytest.raises(QueueOfAnother):
        await other.stats()


async def test_a_process_that_met_its_queue_is_refused_once_a_flushed_redis_is_another_ledgers(
    redis: Redis, of_ledger: Callable[..., Broker]
) -> None:
    mine, other = of_ledger("mine"), of_ledger("other")
    await begun(mine)
    await mine.stats()

    await redis.flushall()
    await begun(other)
    for verb in ("lease", "admit", "begin"):
        with pytest.raises(QueueOfAnother):
            await VERBS[verb](mine)

    assert await leased_ids(other) == ["m0000"]


async def test_a_queue_from_before_ledgers_had_ids_belongs_to_the_first_that_meets_it(
    redis: Redis, of_ledger: Callable[..., Broker]
) -> None:
    mine = of_ledger("mine")
    await begun(mine)
    await redis.delete("{q1}:ledger")

    await queue(of_ledger("mine"), [outgoing("later", chat_id=9)])

    assert await redis.get("{q1}:ledger") == b"mine"
    assert sorted(await leased_ids(mine)) == ["later", "m0000"]


async def test_a_newer_version_of_another_ledger_throws_no_older_queue_away(
    redis: Redis, of_ledger: Callable[..., Broker]
) -> None:
    mine, newer = of_ledger("mine"), of_ledger("other", schema=2)
    await begun(mine)

    for work in (newer.claim(), newer.begin()):
        with pytest.raises(QueueOfAnother):
            await work

    assert await redis.hlen("{q1}:messages") == 1


async def test_a_newer_version_of_the_same_ledger_replaces_the_older_queue(
    redis: Redis, of_ledger: Callable[..., Broker]
) -> None:
    mine, newer = of_ledger("mine"), of_ledger("mine", schema=2)
    await begun(mine)

    await newer.claim()
    await begun(newer)

    assert await redis.hlen("{q1}:messages") == 0
    assert await leased_ids(newer) == ["m0000"]
