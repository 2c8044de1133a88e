"""The leader begins the queue in Redis, rebuilds it, stands in for it, and hands it back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tempogram.engine.failover.epoch_watcher import WATCH_S
from tempogram.engine.failover.failover_broker import SharedQueue
from tempogram.engine.failover.leader import PROBE_S
from tempogram.engine.failover.leader_election import AWAY_MS
from tempogram.engine.failover.standalone_mode import BACK_MS, MARGIN_MS
from tempogram.engine.limits.limits import Limit
from tempogram.engine.model.errors import BrokerUnavailable
from tempogram.engine.model.ids import Ids
from tempogram.engine.model.messages import Done, Hold, Settlement, Status
from tempogram.engine.ports import NO_SCHEMA, LeaseSource, Record
from tempogram.engine.resilience.conditions import Condition
from tests.engine.desk import turns
from tests.engine.failover.fake_processes import LEASE_MS, Died, FakeProcess, FakeRedis, World
from tests.fakes import outgoing

SILENCE_MS = LEASE_MS + round(WATCH_S * 1_000) + MARGIN_MS
STEP_MS = 500
WINDOW_MS = 1_000


def cut_all_from_redis(world: World) -> None:
    world.cut_from_redis = {"one", "other"}


async def until_standalone(one: FakeProcess, *others: FakeProcess) -> None:
    """Have Redis be away until one sends for all."""
    cut_all_from_redis(one.world)
    await one.steps(*others, for_ms=AWAY_MS + SILENCE_MS + 4 * STEP_MS)
    assert one.broker.memory is not None


# Redis mode


async def test_the_leader_begins_the_queue_and_the_others_lease_from_it(one: FakeProcess, other: FakeProcess) -> None:
    await one.accept(outgoing("a"))
    await other.look()
    assert await other.lease() == []

    await one.step()
    one.world.clock.advance(2_000)
    await other.look()

    assert await other.ids() == ["a"]
    assert (one.leader.is_leading, other.leader.is_leading) == (True, False)


async def test_beginning_the_first_queue_of_all_is_no_loss(
    world: World, one: FakeProcess, other: FakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.schema = NO_SCHEMA
    await other.look()
    restore = FakeRedis.restore

    async def after_the_other_has_asked(redis: FakeRedis, *sends: object, **more: object) -> None:
        await other.look()
        await other.lease()
        await restore(redis, *sends, **more)

    monkeypatch.setattr(FakeRedis, "restore", after_the_other_has_asked)
    with capture_logs() as said:
        await one.step()
        await other.look()
        await other.lease()

    assert ("info", "redis_queue_begun") in [(each["log_level"], each["event"]) for each in said]
    assert {each["log_level"] for each in said} == {"info"}


async def test_a_first_queue_that_vanishes_is_lost(world: World, one: FakeProcess) -> None:
    world.schema = NO_SCHEMA
    await one.step()
    world.redis = None

    await one.lease()

    assert one.conditions.current == [Condition.QUEUE_LOST]


async def test_a_process_that_never_leases_notices_that_the_queue_is_lost(
    world: World, one: FakeProcess, other: FakeProcess
) -> None:
    world.schema = NO_SCHEMA
    await other.look()
    await one.step()
    await other.look()
    await other.accept(outgoing("a"))
    world.redis = None

    await other.accept(outgoing("b"))

    assert other.conditions.current == [Condition.QUEUE_LOST]


async def test_a_queue_that_is_gone_is_rebuilt_at_the_next_step(one: FakeProcess) -> None:
    await one.step()
    await one.accept(outgoing("a"))
    one.world.redis = None

    await one.step()
    one.world.clock.advance(2_000)
    await one.look()

    assert await one.ids() == ["a"]
    assert one.conditions.current == []


async def test_a_queue_whose_time_is_not_the_leaders_is_begun_anew_once(one: FakeProcess) -> None:
    await one.steps(for_ms=3_000)
    await one.accept(outgoing("a"))
    before, one.world.clock_off_of = one.world.redis, "one"

    await one.step()
    begun = one.world.redis
    await one.steps(for_ms=3_000)

    assert before is not begun is one.world.redis
    assert await one.ids() == ["a"]


async def test_a_queue_that_came_back_older_is_rebuilt_without_what_was_sent_since(one: FakeProcess) -> None:
    await one.step()
    for each in "ab":
        await one.accept(outgoing(each, chat_id=ord(each)))
    one.world.ledger.statuses["a"] = Status.SENT
    one.world.redis_is_barred = True

    await one.step()
    one.world.clock.advance(2_000)
    await one.look()

    assert await one.ids() == ["b"]


async def test_a_message_that_ends_while_the_queue_is_rebuilt_is_not_in_it(
    one: FakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.look()
    await one.accept(outgoing("a"))
    read = one.world.ledger.open_messages

    async def and_then_it_is_sent(**page: object) -> object:
        found = await read(**page)  # type: ignore[arg-type]
        one.world.ledger.statuses["a"] = Status.SENT
        return found

    monkeypatch.setattr(one.world.ledger, "open_messages", and_then_it_is_sent)
    await one.step()

    assert await one.broker.knows(["a"]) == [False]


async def test_a_call_that_another_process_has_begun_is_left_alone(one: FakeProcess) -> None:
    await one.world.ledger.add([outgoing("a")])
    await one.world.ledger.mark_sending(["a"])

    await one.step()

    assert one.world.ledger.statuses["a"] is Status.SENDING


@pytest.mark.parametrize("calls", range(14))
async def test_a_leader_that_dies_at_any_point_of_rebuilding_leaves_it_to_the_next(
    one: FakeProcess, other: FakeProcess, calls: int
) -> None:
    await one.look()
    await one.accept(outgoing("a"))
    one.world.fuse = calls
    try:
        await one.step()
    except Died:
        one.world.leader = ""
    one.world.fuse = None
    await one.leadership.resign()

    await other.steps(for_ms=4_000)

    assert await other.ids() == ["a"]


async def test_a_leader_that_loses_the_lead_while_it_rebuilds_does_not_open_the_queue(
    one: FakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.look()
    await one.accept(outgoing("a"))
    read = one.world.ledger.open_messages

    async def and_then_another_leads(**page: object) -> object:
        one.world.leader = "other"
        return await read(**page)  # type: ignore[arg-type]

    monkeypatch.setattr(one.world.ledger, "open_messages", and_then_another_leads)
    await one.step()

    assert one.world.redis_is_barred
    assert not one.leader.is_leading


@pytest.mark.parametrize("freezes_at", ["admit", "restore"])
async def test_a_frozen_leader_that_wakes_changes_nothing_in_the_queue_of_the_next(
    one: FakeProcess, other: FakeProcess, monkeypatch: pytest.MonkeyPatch, freezes_at: str
) -> None:
    await one.look()
    await one.accept(outgoing("a"))
    begin = one.redis.begin

    async def begin_and_freeze_later() -> SharedQueue:
        begun = await begin()
        verb = getattr(begun, freezes_at)

        async def after_another_has_begun(*arguments: object, **more: object) -> object:
            await other.redis.begin()
            return await verb(*arguments, **more)

        monkeypatch.setattr(begun, freezes_at, after_another_has_begun)
        return begun

    monkeypatch.setattr(one.redis, "begin", begin_and_freeze_later)
    await one.step()

    assert one.world.redis_is_barred
    assert await one.broker.knows(["a"]) == [False]


async def test_new_limits_are_enforced_once_by_the_leader(world: World, one: FakeProcess) -> None:
    await one.step()
    await one.steps(for_ms=3_000)
    assert world.enforced == [world.limits]
    await one.leadership.resign()

    wider = replace(world.limits, bot=Limit(7, 1_000))
    await FakeProcess(world, "new", limits=wider).steps(for_ms=3_000)

    assert world.enforced == [world.limits, wider]


async def test_a_chat_throttled_during_a_short_outage_is_held_after_it(one: FakeProcess) -> None:
    await one.steps(for_ms=3_000)
    one.world.cut_from_redis.add("one")
    await one.step()
    await one.world.ledger.record_holds([Hold(1, 7, one.world.clock() + 60_000)], now_ms=one.world.clock())
    one.world.cut_from_redis.clear()

    await one.steps(for_ms=4_000)
    await one.accept(outgoing("a", chat_id=7))

    assert await one.ids() == []


async def test_messages_accepted_during_a_short_outage_are_admitted_soon_after(one: FakeProcess) -> None:
    await one.steps(for_ms=3_000)
    one.world.cut_from_redis.add("one")
    await one.step()
    await one.accept(outgoing("a"))
    one.world.cut_from_redis.clear()

    await one.step()

    assert await one.broker.knows(["a"]) == [True]
    assert (one.world.number, one.conditions.current) == (0, [])


async def test_messages_accepted_while_redis_was_full_are_admitted_soon_after(one: FakeProcess) -> None:
    await one.steps(for_ms=3_000)
    one.world.redis_is_full = True
    await one.accept(outgoing("a"))
    await one.step()
    one.world.redis_is_full = False

    await one.step()

    assert await one.broker.knows(["a"]) == [True]
    assert one.conditions.current == []


async def test_the_ledger_is_not_read_over_and_over_while_redis_is_full(
    world: World, one: FakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.steps(for_ms=3_000)
    for number in range(5):
        await one.accept(outgoing(f"{number}"))
    world.redis_is_full = True
    for number in range(5, 10):
        await one.accept(outgoing(f"{number}"))
    await one.step()
    world.room, world.redis_is_full = 6, False  # for one more, which is all that a probe asks for
    reads, open_ids = 0, world.ledger.open_ids

    async def counted(*, after_id: str, limit: int) -> list[str]:
        nonlocal reads
        reads += not after_id
        return await open_ids(after_id=after_id, limit=limit)

    monkeypatch.setattr(world.ledger, "open_ids", counted)
    await one.steps(for_ms=10_000)
    for number in range(10, 15):
        world.ledger.messages[f"{number}"], world.ledger.statuses[f"{number}"] = outgoing(f"{number}"), Status.QUEUED
    await one.steps(for_ms=20_000)
    while_full, world.room = reads, 60
    await one.steps(for_ms=6_000)

    assert while_full == 1
    assert all(await one.broker.knows(list(world.ledger.messages)))
    assert one.conditions.current == []


async def test_a_redis_with_no_room_for_all_sends_the_oldest_and_admits_the_rest_later(
    one: FakeProcess,
) -> None:
    await one.look()
    for number in range(120):
        await one.accept(outgoing(f"{number:03}", chat_id=number + 1))
    one.world.room = 60

    await one.steps(for_ms=2_000)
    assert not one.world.redis_is_barred
    began, sent = one.world.redis, set[str]()
    for _ in range(20):
        for lease in await one.lease():
            one.world.ledger.statuses[lease.message.id] = Status.SENT
            await one.broker.settle([Settlement(lease, Done(), 0)])
            sent.add(lease.message.id)
        await one.steps(for_ms=2_000)

    assert len(sent) == 120
    assert one.world.redis is began
    assert one.conditions.current == []


async def test_an_outage_of_the_database_is_logged_once_when_it_begins_and_once_when_it_ends(world: World) -> None:
    idle = FakeProcess(world, "idle")
    world.cut_from_database.add("idle")
    with capture_logs() as said:
        watching = asyncio.create_task(idle.leader._repeat(idle.leader.watch, turns))
        await turns()
        away = idle.conditions.current
        world.cut_from_database.clear()
        await turns()
        watching.cancel()

    assert (away, idle.conditions.current) == ([Condition.LEDGER_AWAY], [])
    assert [each["event"] for each in said] == ["condition_began", "condition_ended"]


async def test_reading_the_epoch_does_not_end_the_condition_of_a_refused_write(one: FakeProcess) -> None:
    one.conditions.begin(Condition.LEDGER_AWAY, "the disk is full")

    await one.look()

    assert one.conditions.holds(Condition.LEDGER_AWAY)


async def test_a_process_that_may_not_lead_only_reads_the_epoch(world: World) -> None:
    idle = FakeProcess(world, "idle")
    await idle.look()

    assert world.leader == ""
    assert idle.broker._source() is idle.redis


# Standalone mode


async def test_the_first_lease_from_memory_comes_after_the_last_one_from_redis_has_ended(
    one: FakeProcess, other: FakeProcess
) -> None:
    await one.steps(other, for_ms=3_000)
    for each in "ab":
        await one.accept(outgoing(each, chat_id=ord(each)))
    (last,) = await other.lease(1)
    one.world.cut_from_redis.add("one")
    one.world.cut_from_database.add("other")  # the worst: it does not hear of it, and Redis answers it

    first_at_ms = last_until_ms = last.expires_at_ms
    while not (leased := await one.lease()):
        await one.look()
        await one.step()
        last_until_ms = max([last_until_ms, *(each.expires_at_ms for each in await other.lease(1))])
        one.world.clock.advance(100)
        first_at_ms = one.world.clock()

    assert leased
    assert first_at_ms >= last_until_ms


@pytest.fixture
def alone(world: World) -> FakeProcess:
    """The only process of its ledger; it has run for so long that no call of its predecessor is under way."""
    process = FakeProcess(world, "one", shares_ledger=False)
    world.clock.advance(2 * LEASE_MS)
    return process


async def test_a_process_with_a_ledger_of_its_own_sends_from_memory_at_once(alone: FakeProcess) -> None:
    await alone.steps(for_ms=1_000)
    await alone.accept(outgoing("a"))
    alone.world.cut_from_redis.add("one")
    cut_at_ms = alone.world.clock()

    await alone.step()

    assert (await alone.ids(), alone.world.clock() - cut_at_ms) == (["a"], 0)
    assert alone.conditions.current == [Condition.REDIS_AWAY, Condition.ONE_SENDER]


async def test_a_process_that_finds_no_redis_at_its_first_start_of_all_sends_from_memory(
    world: World,
) -> None:
    world.schema, world.redis = NO_SCHEMA, None
    world.cut_from_redis.add("one")
    alone = FakeProcess(world, "one", shares_ledger=False)
    await alone.look()
    await alone.accept(outgoing("a"))

    await alone.step()
    at_once = await alone.ids()
    world.clock.advance(WINDOW_MS)

    assert (at_once, await alone.ids()) == ([], ["a"])  # a call of the last process may have been under way
    assert not alone.conditions.holds(Condition.NOT_BEGUN)


async def test_a_full_redis_is_there_and_keeps_the_queue(alone: FakeProcess) -> None:
    await alone.steps(for_ms=1_000)
    alone.world.redis_is_full = True

    await alone.steps(for_ms=5_000)

    assert (alone.world.source, alone.broker.memory) == (LeaseSource.REDIS, None)


async def test_nothing_is_leased_from_memory_before_the_calls_under_way_are_recorded(alone: FakeProcess) -> None:
    await alone.steps(for_ms=1_000)
    for each in "ab":
        await alone.accept(outgoing(each, chat_id=ord(each)))
    (lease,) = await alone.lease(1)
    alone.world.cut_from_redis.add("one")
    stepping = asyncio.create_task(alone.step())
    await turns()
    meanwhile = alone.broker.memory

    alone.world.ledger.statuses[lease.message.id] = Status.SENT
    with suppress(BrokerUnavailable):
        await alone.broker.settle([Settlement(lease, Done(), 0)])
    await stepping

    assert meanwhile is None
    assert await alone.ids() == [{"a": "b", "b": "a"}[lease.message.id]]


async def test_a_call_that_is_never_recorded_holds_up_the_memory_no_longer_than_its_lease(alone: FakeProcess) -> None:
    await alone.steps(for_ms=1_000)
    await alone.accept(outgoing("a"))
    (lease,) = await alone.lease()
    alone.world.cut_from_redis.add("one")

    await alone.step()

    assert lease.expires_at_ms < alone.world.clock() <= lease.expires_at_ms + SILENCE_MS
    alone.world.clock.advance(WINDOW_MS)
    assert await alone.ids() == ["a"]


async def test_a_process_that_died_while_it_sent_from_memory_goes_on_at_once(world: World, alone: FakeProcess) -> None:
    await alone.steps(for_ms=1_000)
    world.cut_from_redis.add("one")
    await alone.step()
    await alone.accept(outgoing("a"))
    alone.die()
    world.cut_from_redis.add("next")

    after = FakeProcess(world, "next", shares_ledger=False)
    await after.look()
    await after.step()
    world.clock.advance(WINDOW_MS)

    assert await after.ids() == ["a"]


async def test_the_queue_of_the_only_process_moves_to_redis_once_it_is_back(alone: FakeProcess) -> None:
    await alone.steps(for_ms=1_000)
    alone.world.cut_from_redis.add("one")
    await alone.step()
    for each in "ab":
        await alone.accept(outgoing(each, chat_id=ord(each)))
    (sent,) = await alone.lease(1)
    alone.world.ledger.statuses[sent.message.id] = Status.SENT
    await alone.broker.settle([Settlement(sent, Done(), 0)])

    alone.world.cut_from_redis.clear()
    await alone.steps(for_ms=BACK_MS + 2 * STEP_MS)

    assert (alone.world.source, alone.broker.memory, alone.conditions.current) == (LeaseSource.REDIS, None, [])
    alone.world.clock.advance(LEASE_MS)
    await alone.look()
    assert await alone.ids() == [{"a": "b", "b": "a"}[sent.message.id]]


async def test_messages_that_others_write_to_the_ledger_are_sent_from_memory(
    one: FakeProcess, other: FakeProcess
) -> None:
    await until_standalone(one, other)
    message = outgoing(Ids().new(one.world.clock()))
    await other.accept(message)

    await one.steps(other, for_ms=4 * STEP_MS)

    assert await one.ids() == [message.id]
    assert await other.ids() == []


async def test_a_message_that_was_sent_from_memory_is_not_admitted_again(one: FakeProcess) -> None:
    await until_standalone(one)
    await one.accept(outgoing("a"))
    (lease,) = await one.lease()
    one.world.ledger.statuses["a"] = Status.SENT
    await one.broker.settle([Settlement(lease, Done(), 0)])

    await one.steps(for_ms=5_000)

    assert await one.ids() == []


async def test_a_message_that_another_process_ends_is_removed_from_the_memory(one: FakeProcess) -> None:
    await one.accept(outgoing("a"))
    await until_standalone(one)
    assert await one.broker.knows(["a"]) == [True]
    # Another process writes its call at the end of its last lease from Redis.
    now_ms = one.world.clock()
    sent = Record(
        message_id="a",
        bot_id=1,
        chat_id=7,
        cost=1,
        status=Status.SENT,
        attempt=1,
        recorded_at_ms=now_ms,
        outcome="sent",
        counted_at_ms=now_ms,
    )
    await one.world.ledger.record([sent])

    await one.steps(for_ms=2 * STEP_MS)

    assert await one.broker.knows(["a"]) == [False]


async def test_a_hold_that_another_process_gets_is_set_in_the_memory(one: FakeProcess) -> None:
    await until_standalone(one)
    await one.accept(outgoing("a"))
    until_ms = one.world.clock() + LEASE_MS
    await one.world.ledger.record_holds([Hold(1, outgoing("a").chat_id, until_ms)], now_ms=one.world.clock())

    await one.steps(for_ms=2 * STEP_MS)
    held = await one.ids()
    await one.steps(for_ms=LEASE_MS)

    assert (held, await one.ids()) == ([], ["a"])


async def test_a_bot_that_is_paused_in_the_ledger_is_paused_in_the_memory(one: FakeProcess) -> None:
    await until_standalone(one)
    await one.accept(outgoing("a"))
    await one.world.ledger.pause(1, paused=True)
    await one.steps(for_ms=2 * STEP_MS)
    paused = await one.ids()
    await one.world.ledger.pause(1, paused=False)
    await one.steps(for_ms=2 * STEP_MS)

    assert (paused, await one.ids()) == ([], ["a"])


async def test_leases_come_from_redis_again_when_it_is_back_for_a_while_and_nothing_is_lost(
    one: FakeProcess, other: FakeProcess
) -> None:
    await until_standalone(one, other)
    for number in range(5):
        await other.accept(outgoing(f"{number}", chat_id=number + 1))
    one.world.cut_from_redis.clear()
    await one.steps(other, for_ms=BACK_MS - STEP_MS)
    assert one.world.source is LeaseSource.LEADER

    await one.steps(other, for_ms=LEASE_MS + 2_000)

    assert (one.broker.memory, one.world.source) == (None, LeaseSource.REDIS)
    assert len(await other.ids()) == 5
    assert not one.conditions.holds(Condition.ONE_SENDER)


async def test_redis_leases_only_after_the_last_lease_from_memory_has_ended(one: FakeProcess) -> None:
    await until_standalone(one)
    await one.accept(outgoing("a"))
    (lease,) = await one.lease()
    one.world.cut_from_redis.clear()
    while one.world.source is LeaseSource.LEADER:
        await one.look()
        await one.step()
        one.world.clock.advance(100)

    assert one.world.clock() >= lease.expires_at_ms


async def test_a_short_outage_ends_without_the_silence(one: FakeProcess) -> None:
    await one.steps(for_ms=3_000)
    one.world.cut_from_redis.add("one")
    await one.steps(for_ms=AWAY_MS + STEP_MS)
    assert one.conditions.holds(Condition.ONE_SENDER)

    one.world.cut_from_redis.clear()
    await one.steps(for_ms=BACK_MS + 2 * STEP_MS)

    assert one.world.source is LeaseSource.REDIS


async def test_the_next_leader_waits_until_the_memory_of_the_last_leases_no_more(
    one: FakeProcess, other: FakeProcess
) -> None:
    await until_standalone(one, other)
    for number in range(9):
        await one.accept(outgoing(f"{number}", chat_id=number + 1))
    one.world.leader = ""  # it does not know; and it cannot read the epoch
    one.world.cut_from_database.add("one")

    last_until_ms = 0
    while other.broker.memory is None:
        await other.look()
        await other.step()
        last_until_ms = max([last_until_ms, *(each.expires_at_ms for each in await one.lease(1))])
        one.world.clock.advance(STEP_MS)

    assert 0 < last_until_ms <= one.world.clock()
    await other.steps(for_ms=2_000)
    assert await other.ids()


async def test_the_next_leader_keeps_redis_closed_while_the_memory_of_the_last_may_lease(
    one: FakeProcess, other: FakeProcess
) -> None:
    await until_standalone(one, other)
    for number in range(30):
        await one.accept(outgoing(f"{number:02}", chat_id=number + 1))
    one.world.leader = ""
    one.world.cut_from_database, one.world.cut_from_redis = {"one"}, set()

    last_until_ms = 0
    while one.world.source is LeaseSource.LEADER:
        await other.look()
        await other.step()
        last_until_ms = max([last_until_ms, *(each.expires_at_ms for each in await one.lease(1))])
        one.world.clock.advance(100)

    assert 0 < last_until_ms <= one.world.clock()


async def test_a_moment_without_the_database_does_not_end_standalone_mode(one: FakeProcess) -> None:
    await until_standalone(one)
    memory, number = one.broker.memory, one.world.number
    one.world.cut_from_database.add("one")
    await one.steps(for_ms=STEP_MS)
    one.world.cut_from_database.clear()

    await one.steps(for_ms=4 * STEP_MS)

    assert one.broker.memory is memory
    assert one.world.number == number


async def test_a_redis_that_goes_again_while_it_is_rebuilt_leaves_the_leader_in_standalone_mode(
    one: FakeProcess,
) -> None:
    await until_standalone(one)
    await one.accept(outgoing("a"))
    one.world.cut_from_redis.clear()
    began = one.redis.begin

    async def and_then_it_is_away() -> SharedQueue:
        begun = await began()
        one.world.cut_from_redis.add("one")
        return begun

    one.redis.begin = and_then_it_is_away  # type: ignore[method-assign]
    await one.steps(for_ms=BACK_MS + LEASE_MS)

    assert one.world.source is LeaseSource.LEADER
    assert await one.ids() == ["a"]


def test_an_idle_process_notices_a_loss_within_two_seconds() -> None:
    assert PROBE_S <= 2
