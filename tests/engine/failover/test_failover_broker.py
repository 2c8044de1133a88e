"""Which source a verb asks, when nothing may be leased, and which conditions the answers of Redis begin and end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tempogram.engine.brokers.redis.keys import SCHEMA
from tempogram.engine.model.errors import BrokerUnavailable, QueueLost
from tempogram.engine.model.messages import Done, Settlement, Status
from tempogram.engine.ports import NO_SCHEMA, Epoch, Leased, LeaseSource
from tempogram.engine.resilience.conditions import Condition
from tempogram.engine.sending.held_lease import HeldLease
from tests.engine.desk import soon, turns
from tests.engine.failover.fake_processes import LEASE_MS, FakeProcess, World
from tests.fakes import outgoing

REDIS = Epoch(0, LeaseSource.REDIS, SCHEMA)
MINE = Epoch(1, LeaseSource.LEADER, SCHEMA, is_own=True)
ANOTHERS = Epoch(1, LeaseSource.LEADER, SCHEMA)


@pytest.fixture
def world() -> World:
    world = World()
    world.redis, world.redis_is_barred = world.memory(), False
    return world


@pytest.fixture
def one(world: World) -> FakeProcess:
    one = FakeProcess(world, "one")
    one.broker.follow(REDIS, read_at_ms=world.clock())
    return one


async def test_every_verb_is_refused_before_the_epoch_was_read(world: World) -> None:
    with pytest.raises(BrokerUnavailable, match="was not read"):
        await FakeProcess(world, "one").broker.knows([])


async def test_a_lease_ends_no_later_than_the_epoch_is_known(world: World, one: FakeProcess) -> None:
    await one.accept(outgoing("a"))
    world.clock.advance(1_000)

    (lease,) = await one.lease()

    assert lease.expires_at_ms == world.clock() + LEASE_MS - 1_000


async def test_an_extended_lease_is_used_no_later_than_the_epoch_is_known(world: World, one: FakeProcess) -> None:
    await one.accept(outgoing("a"))
    await one.accept(outgoing("b", chat_id=8))
    world.clock.advance(LEASE_MS - 1)
    held, other = (
        HeldLease(each, world.clock() + LEASE_MS, world.clock, one.broker.is_source) for each in await one.lease()
    )

    assert held.may_write()
    assert await one.broker.extend([other.lease], by_ms=LEASE_MS) == [True]
    world.clock.advance(1)
    assert not other.may_write()


async def test_a_process_that_has_not_read_the_epoch_for_a_lease_leases_nothing_and_retries_soon(
    world: World, one: FakeProcess
) -> None:
    world.clock.advance(LEASE_MS)
    admission = await one.broker.admit([outgoing("a")], worker_id="w", slots=5)
    leased = await one.broker.lease(worker_id="w", slots=5)

    assert (admission.leased.leases, leased.leases) == ((), ())
    assert leased.wake_at_ms is not None
    assert await one.broker.recover(worker_id="w", slots=5) == []

    one.broker.follow(REDIS, read_at_ms=world.clock())
    assert await one.ids() == ["a"]


async def test_an_idle_process_notices_that_redis_is_back(one: FakeProcess, world: World) -> None:
    world.cut_from_redis = {"one"}
    with pytest.raises(BrokerUnavailable):
        await one.broker.knows([])
    one.broker.follow(ANOTHERS, read_at_ms=world.clock())
    world.cut_from_redis = set()

    one.broker.follow(Epoch(2, LeaseSource.REDIS, SCHEMA), read_at_ms=world.clock())
    await one.broker.probe_if_missed()

    assert one.conditions.current == []


async def test_every_verb_is_refused_while_another_process_sends_for_all(one: FakeProcess, world: World) -> None:
    one.broker.follow(ANOTHERS, read_at_ms=world.clock())

    with pytest.raises(BrokerUnavailable, match="one process sends for all"):
        await one.broker.admit([outgoing("a")], worker_id="w", slots=1)
    with pytest.raises(BrokerUnavailable, match="one process sends for all"):
        await one.broker.lease(worker_id="w", slots=1)
    assert one.conditions.current == [Condition.ONE_SENDER]


async def test_a_suspected_redis_is_probed_and_what_it_answers_is_noted(one: FakeProcess, world: World) -> None:
    world.cut_from_redis.add("one")
    await one.broker.probe_if_missed()
    assert one.conditions.current == []

    one.broker.suspect()
    with pytest.raises(BrokerUnavailable):
        await one.broker.probe_if_missed()
    assert one.conditions.current == [Condition.REDIS_AWAY]

    world.cut_from_redis.clear()
    await one.broker.probe_if_missed()
    assert one.conditions.current == []


async def test_a_redis_that_only_a_channel_misses_is_away_until_the_channel_has_it_again(one: FakeProcess) -> None:
    one.conditions.begin(Condition.REDIS_AWAY, "connection refused", seen_by="changes")
    one.broker.suspect()
    await one.broker.probe_if_missed()
    await one.broker.knows([])
    meanwhile = one.conditions.current

    one.conditions.end(Condition.REDIS_AWAY, seen_by="changes")

    assert (meanwhile, one.conditions.current) == ([Condition.REDIS_AWAY], [])
    assert not one.broker.trouble.is_set()


async def test_a_verb_that_misses_redis_wakes_the_leader_though_a_channel_missed_it_before(
    one: FakeProcess, world: World
) -> None:
    one.conditions.begin(Condition.REDIS_AWAY, "connection refused", seen_by="changes")
    world.cut_from_redis.add("one")

    with pytest.raises(BrokerUnavailable):
        await one.broker.knows([])

    assert one.broker.trouble.is_set()


async def test_the_process_that_sends_for_all_leases_from_memory(one: FakeProcess, world: World) -> None:
    one.broker.follow(MINE, read_at_ms=world.clock())
    one.broker.open_memory(world.memory(), MINE)
    await one.accept(outgoing("a"))

    assert await one.ids() == ["a"]
    assert world.redis is not None
    assert await world.redis.knows(["a"]) == [False]


async def test_an_epoch_that_is_over_is_ignored_and_its_memory_is_gone(one: FakeProcess, world: World) -> None:
    one.broker.follow(MINE, read_at_ms=world.clock())
    one.broker.open_memory(world.memory(), MINE)
    one.broker.follow(Epoch(2, LeaseSource.REDIS, SCHEMA), read_at_ms=world.clock())

    one.broker.follow(MINE, read_at_ms=world.clock() + 1)
    one.broker.open_memory(world.memory(), MINE)

    assert one.broker.memory is None
    assert one.conditions.current == []


async def test_redis_is_away_until_a_verb_succeeds(one: FakeProcess, world: World) -> None:
    world.cut_from_redis.add("one")
    with pytest.raises(BrokerUnavailable):
        await one.broker.knows([])
    assert one.conditions.current == [Condition.REDIS_AWAY]
    assert one.broker.trouble.is_set()

    world.cut_from_redis.clear()
    await one.broker.knows([])
    assert one.conditions.current == []


async def test_redis_is_full_until_it_admits_a_message(one: FakeProcess, world: World) -> None:
    world.redis_is_full = True
    await one.accept(outgoing("a"))
    await one.lease()
    assert one.conditions.current == [Condition.REDIS_FULL]

    world.redis_is_full = False
    await one.accept(outgoing("b"))
    assert one.conditions.current == []


async def test_a_queue_that_leases_nothing_is_lost_until_it_leases(one: FakeProcess, world: World) -> None:
    world.redis_is_barred = True
    await one.broker.admit([outgoing("a")], worker_id="w", slots=1)
    await one.broker.knows([])
    assert one.conditions.current == [Condition.QUEUE_LOST]

    world.redis_is_barred = False
    assert await one.ids() == ["a"]
    assert one.conditions.current == []


async def test_a_process_that_only_submits_notices_the_queue_again_by_submitting(
    one: FakeProcess, world: World
) -> None:
    kept, world.redis = world.redis, None
    with pytest.raises(QueueLost):
        await one.broker.admit([outgoing("a")], worker_id="", slots=0)
    assert one.conditions.current == [Condition.QUEUE_LOST]

    world.redis = kept
    await one.accept(outgoing("b"))
    assert one.conditions.current == []


async def rebuilt(world: World) -> None:
    """Let the queue be another one, which has message "a" waiting."""
    world.redis = world.memory()
    await world.redis.admit([outgoing("a")], worker_id="", slots=0)


async def test_a_message_that_ended_under_a_lost_lease_is_removed_from_a_rebuilt_queue(
    one: FakeProcess, world: World
) -> None:
    await one.accept(outgoing("a"))
    (lease,) = await one.lease()
    await rebuilt(world)
    world.ledger.statuses["a"] = Status.SENT

    (settled,) = await one.broker.settle([Settlement(lease, Done(), 0)])
    await one.broker.take_out_ended()

    assert not settled.held
    assert await one.broker.knows(["a"]) == [False]


@pytest.fixture
async def unsettled(one: FakeProcess, world: World) -> Settlement:
    """Message "a" has ended while Redis was away, so that the queue still has it leased."""
    await one.accept(outgoing("a"))
    (lease,) = await one.lease()
    world.ledger.statuses["a"] = Status.DEAD
    world.cut_from_redis.add("one")
    settlement = Settlement(lease, Done(), 0)
    with pytest.raises(BrokerUnavailable):
        await one.broker.settle([settlement])
    world.cut_from_redis.clear()
    return settlement


async def test_a_message_that_ended_while_redis_was_away_is_removed_later(
    one: FakeProcess, world: World, unsettled: Settlement
) -> None:
    await rebuilt(world)

    await one.broker.take_out_ended()

    assert await one.broker.knows([unsettled.lease.message.id]) == [False]


async def test_a_message_that_was_settled_at_the_second_try_is_not_removed(
    one: FakeProcess, world: World, unsettled: Settlement
) -> None:
    (settled,) = await one.broker.settle([unsettled])
    await rebuilt(world)

    await one.broker.take_out_ended()

    assert settled.held
    assert await one.broker.knows(["a"]) == [True]


async def test_a_message_that_was_replayed_after_its_end_is_not_removed(
    one: FakeProcess, world: World, unsettled: Settlement
) -> None:
    """It came back by the reconciler alone, half a minute later and behind what had come after it."""
    world.ledger.statuses["a"] = Status.QUEUED
    await rebuilt(world)
    await one.broker.settle([unsettled])

    await one.broker.take_out_ended()
    world.ledger.statuses["a"] = Status.DEAD
    await one.broker.take_out_ended()

    assert await one.broker.knows(["a"]) == [True]


@pytest.mark.parametrize("source", LeaseSource)
async def test_every_verb_is_refused_while_another_version_keeps_the_queue(
    one: FakeProcess, world: World, source: LeaseSource
) -> None:
    world.cut_from_redis.add("one")
    await one.lease()
    one.broker.follow(Epoch(1, source, SCHEMA + 1), read_at_ms=world.clock())

    with pytest.raises(BrokerUnavailable, match="another version of tempogram keeps the queue"):
        await one.broker.admit([outgoing("a")], worker_id="w", slots=1)
    with pytest.raises(BrokerUnavailable, match="another version of tempogram keeps the queue"):
        await one.broker.lease(worker_id="w", slots=1)
    assert Condition.OTHER_VERSION in one.conditions.current
    assert Condition.REDIS_AWAY not in one.conditions.current

    one.broker.follow(Epoch(2, LeaseSource.REDIS, SCHEMA), read_at_ms=world.clock())
    assert one.conditions.current == []


async def test_before_the_queue_is_begun_nothing_is_leased_and_the_first_message_makes_it_a_condition(
    world: World,
) -> None:
    one = FakeProcess(world, "one")
    one.broker.follow(Epoch(0, LeaseSource.REDIS, NO_SCHEMA), read_at_ms=world.clock())

    with pytest.raises(BrokerUnavailable, match="has begun the queue yet"):
        await one.broker.lease(worker_id="w", slots=1)
    assert one.conditions.current == []

    with pytest.raises(BrokerUnavailable, match="has begun the queue yet"):
        await one.broker.admit([outgoing("a")], worker_id="", slots=0)
    assert one.conditions.current == [Condition.NOT_BEGUN]

    one.broker.follow(Epoch(1, LeaseSource.REDIS, SCHEMA), read_at_ms=world.clock())
    assert one.conditions.current == []


async def test_a_waiting_worker_wakes_when_the_source_changes(one: FakeProcess, world: World) -> None:
    await one.lease()
    sleeper = asyncio.create_task(one.broker.wait(None))
    await asyncio.sleep(0)

    one.broker.follow(ANOTHERS, read_at_ms=world.clock())

    async with asyncio.timeout(0.5):
        await sleeper


async def test_a_worker_does_not_wait_by_the_answer_of_another_source(one: FakeProcess, world: World) -> None:
    await one.lease()
    one.broker.follow(MINE, read_at_ms=world.clock())
    one.broker.open_memory(world.memory(), MINE)

    async with asyncio.timeout(0.5):
        await one.broker.wait(None)


async def test_waiting_raises_nothing_while_redis_is_away(
    one: FakeProcess, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempogram.engine.failover.failover_broker.PAUSE_MS", 1)
    world.cut_from_redis.add("one")
    await one.lease()

    sleeper = asyncio.create_task(one.broker.wait(None))
    done = asyncio.Event()
    sleeper.add_done_callback(lambda _: done.set())
    await soon(done)
    assert sleeper.exception() is None


async def test_the_ledger_is_counted_while_the_queue_cannot_be_asked(one: FakeProcess, world: World) -> None:
    for each in "ab":
        await one.accept(outgoing(each))
    by_queue = await one.broker.stats()
    world.cut_from_redis.add("one")

    by_ledger = await one.broker.stats()

    assert {each: count for each, count in by_queue.waiting.items() if count} == by_ledger.waiting
    assert (by_queue.leased, by_ledger.leased) == (0, None)
    assert one.conditions.current == [Condition.REDIS_AWAY]


async def test_a_lease_that_comes_after_another_source_has_begun_is_not_used(
    one: FakeProcess, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.accept(outgoing("a"))
    assert world.redis is not None
    lease = world.redis.lease

    async def and_then_the_memory_leases(**asked: Any) -> Leased:
        leased = await lease(**asked)
        one.broker.follow(MINE, read_at_ms=world.clock())
        one.broker.open_memory(world.memory(), MINE)
        return leased

    monkeypatch.setattr(world.redis, "lease", and_then_the_memory_leases)

    assert await one.ids() == []
    assert not one.broker.has_leases


async def test_a_lease_is_held_until_its_outcome_is_settled_or_cannot_be(one: FakeProcess, world: World) -> None:
    await one.accept(outgoing("a"))
    (lease,) = await one.lease()
    before = one.broker.has_leases
    world.cut_from_redis.add("one")

    with pytest.raises(BrokerUnavailable):
        await one.broker.settle([Settlement(lease, Done(), 0)])

    assert (before, one.broker.has_leases) == (True, False)


async def test_a_worker_that_leases_from_memory_is_woken_by_it_though_redis_is_probed_in_vain(
    one: FakeProcess, world: World
) -> None:
    one.broker.follow(MINE, read_at_ms=world.clock())
    one.broker.open_memory(world.memory(), MINE)
    await one.lease()
    world.cut_from_redis.add("one")
    with pytest.raises(BrokerUnavailable):
        await one.broker.probe()
    sleeper = asyncio.create_task(one.broker.wait(None))
    await turns()

    await one.accept(outgoing("a"))

    async with asyncio.timeout(0.5):
        await sleeper
