"""A process that misses Redis leaves the lead to one that reaches it; if none does, one of them sends for all."""

from __future__ import annotations

import pytest

from tempogram.engine.failover.leader_election import ASIDE_MS, AWAY_MS, MISSED_MS
from tempogram.engine.ports import LeaseSource
from tests.engine.failover.fake_processes import FakeProcess, World
from tests.fakes import outgoing

STEP_MS = 500
SOON_MS = 3_000


async def one_leads(one: FakeProcess, *others: FakeProcess) -> None:
    await one.steps(*others, for_ms=SOON_MS)
    assert one.leader.is_leading


async def test_a_leader_that_alone_cannot_reach_redis_lets_another_process_lead_in_redis_mode(
    world: World, one: FakeProcess, other: FakeProcess
) -> None:
    await one_leads(one, other)
    world.cut_from_redis = {"one"}

    await one.steps(other, for_ms=5 * AWAY_MS)
    await other.accept(outgoing("a"))

    assert (one.leader.is_leading, other.leader.is_leading) == (False, True)
    assert (world.number, world.source) == (0, LeaseSource.REDIS)
    assert await other.ids() == ["a"]


async def test_if_no_process_reaches_redis_one_sends_for_all_as_soon_as_if_it_was_alone(
    world: World, one: FakeProcess, other: FakeProcess
) -> None:
    third = FakeProcess(world, "third")
    await one_leads(one, other, third)
    world.cut_from_redis = {"one", "other", "third"}
    for each in (one, other, third):
        await each.lease()  # at work, so that each notices

    await one.steps(other, third, for_ms=AWAY_MS)
    assert world.number == 0
    await one.steps(other, third, for_ms=2 * STEP_MS)

    assert (world.number, world.source) == (1, LeaseSource.LEADER)


@pytest.mark.parametrize("silent_ms", [0, 5_000])
@pytest.mark.parametrize("count", [2, 3, 4])
async def test_if_no_process_reaches_redis_one_sends_for_all_though_most_are_idle_and_redis_is_silent(
    world: World, one: FakeProcess, count: int, silent_ms: int
) -> None:
    """They handed the lead round for ever: each found that another had had it a moment ago."""
    others = [FakeProcess(world, f"other {number}") for number in range(1, count)]
    await one_leads(one, *others)
    world.cut_from_redis = {each.name for each in (one, *others)}
    world.redis_is_silent_for_ms = silent_ms

    await one.steps(*others, for_ms=240_000)

    assert (world.number, world.source) == (1, LeaseSource.LEADER)


async def test_another_process_sends_for_all_when_the_leader_is_gone_with_redis(
    world: World, other: FakeProcess
) -> None:
    await one_leads(FakeProcess(world, "one"), other)
    world.leader, world.cut_from_redis = "", {"other"}
    await other.lease()  # it notices before it may lead

    await other.steps(for_ms=AWAY_MS + 2 * STEP_MS)

    assert (world.number, world.source) == (1, LeaseSource.LEADER)


async def test_a_process_that_misses_redis_does_not_take_a_free_lead(
    world: World, one: FakeProcess, other: FakeProcess
) -> None:
    await one_leads(one, other)
    world.cut_from_redis = {"other"}
    await other.lease()
    await one.leadership.resign()

    await other.steps(for_ms=AWAY_MS - STEP_MS)

    assert world.leader == ""


async def test_a_process_that_misses_redis_waits_again_for_one_that_may_reach_it_when_the_lead_becomes_free(
    world: World, one: FakeProcess, other: FakeProcess
) -> None:
    third = FakeProcess(world, "third")
    await one_leads(one, other)
    world.cut_from_redis = {"one"}
    await one.steps(other, for_ms=2 * AWAY_MS)
    await other.leadership.resign()

    await one.steps(for_ms=ASIDE_MS)
    await third.steps(one, for_ms=2 * AWAY_MS)

    assert third.leader.is_leading
    assert (world.number, world.source) == (0, LeaseSource.REDIS)


async def test_a_process_that_stepped_aside_sends_for_all_when_those_that_reached_redis_are_gone(
    world: World, one: FakeProcess, other: FakeProcess
) -> None:
    await one_leads(one, other)
    world.cut_from_redis = {"one"}
    await one.steps(other, for_ms=2 * AWAY_MS)
    await other.leadership.resign()

    await one.steps(for_ms=ASIDE_MS + MISSED_MS)

    assert (world.number, world.source) == (1, LeaseSource.LEADER)


async def test_a_process_that_reaches_redis_again_may_lead_at_once(world: World, one: FakeProcess) -> None:
    await one_leads(one)
    world.cut_from_redis = {"one"}
    await one.steps(for_ms=MISSED_MS + STEP_MS)
    led = one.leader.is_leading
    world.cut_from_redis = set()

    await one.steps(for_ms=STEP_MS)

    assert (led, one.leader.is_leading) == (False, True)
    assert world.number == 0


async def test_a_leader_that_steps_aside_while_it_rebuilds_leaves_it_to_another(
    world: World, one: FakeProcess, other: FakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.look()
    await one.accept(outgoing("a"))
    begin = one.redis.begin

    async def and_then_it_is_cut() -> object:
        begun = await begin()
        world.cut_from_redis = {"one"}
        return begun

    monkeypatch.setattr(one.redis, "begin", and_then_it_is_cut)
    await one.step()
    assert world.redis_is_barred

    await one.steps(other, for_ms=AWAY_MS)

    assert await other.ids() == ["a"]
    assert (world.number, world.source) == (0, LeaseSource.REDIS)
