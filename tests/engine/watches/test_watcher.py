from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from tempogram.engine.model.watches import DAY_MS, HOUR_MS, Preset, WatchRules
from tempogram.storage.database.database import Database
from tests.engine.watches.world import World
from tests.fakes import Clock

KEYS = [f"item-{number:02}" for number in range(40)]


@pytest.fixture
def world(database: Database, clock: Clock) -> World:
    clock.advance(HOUR_MS - clock() % HOUR_MS)
    return World(database, clock)


async def test_calls_of_the_preset_priority_begin_a_second_apart(world: World) -> None:
    await world.watch(*KEYS[:5])

    await world.run_through()

    assert world.pauses == [1_000] * 4
    assert [key for _, key in world.source.asked] == KEYS[:5]


async def test_a_slow_source_is_asked_for_one_item_after_the_other(world: World) -> None:
    world.source.takes_ms = 3_000
    await world.watch(*KEYS[:3])

    await world.run_through()

    assert world.pauses == [3_000] * 2


async def test_a_run_ends_after_a_while_and_the_next_goes_on_at_once(world: World) -> None:
    world.source.takes_ms = 20_000
    await world.watch(*KEYS[:5])

    first = await world.watcher.run()
    asked = len(world.source.asked)
    await world.run_through()

    assert first == timedelta()
    assert asked == 3
    assert [key for _, key in world.source.asked] == KEYS[:5]


async def test_above_a_tenth_of_failures_the_pace_halves_until_the_source_is_well(world: World) -> None:
    world.source.fails = lambda number: number in {1, 3, 5}
    await world.watch(*KEYS)

    await world.run_through()

    assert world.pauses[:5] == [1_000] * 5
    assert world.pauses[5:25] == [5_000] * 20
    assert set(world.pauses[25:38]) == {1_000}
    assert world.metrics.checks["prices", "failed"] == 3


async def test_what_a_source_did_not_answer_is_asked_again_with_longer_and_longer_pauses(world: World) -> None:
    world.source.fails = lambda number: number < 3
    await world.watch("tea")

    for _ in range(12):
        await world.run_through()
        world.clock.advance(HOUR_MS // 2)

    times = [at_ms for at_ms, _ in world.source.asked][:4]
    assert (await world.known("tea")).fields == {"price": 1}
    assert all(after - before >= 60_000 for before, after in pairwise(times))


async def test_a_service_without_room_is_left_alone_and_no_item_is_lost(world: World) -> None:
    await world.watch(*KEYS[:5])
    world.services.left = 2

    await world.run_through()
    asked = len(world.source.asked)
    world.services.left = 100
    await world.run_through()

    assert asked == 2
    assert sorted(key for _, key in world.source.asked) == KEYS[:5]
    assert (await world.known(KEYS[4])).failures == 0


async def test_no_more_than_the_hours_share_is_asked_for(database: Database, clock: Clock) -> None:
    world = World(database, clock, WatchRules(preset=Preset.PRIORITY, hourly_max=7))
    clock.advance(HOUR_MS - clock() % HOUR_MS)
    await world.watch(*KEYS)

    for _ in range(3):
        await world.run_through()

    assert len(world.source.asked) == 7


async def test_however_many_view_an_item_at_once_its_source_is_asked_once(database: Database, clock: Clock) -> None:
    world = World(database, clock, WatchRules(preset=Preset.ON_DEMAND))
    await world.watch("tea")
    item = (await world.known("tea")).item

    seen = await asyncio.gather(*(world.watches.view(item) for _ in range(20)))
    again = await world.watches.view(item)
    clock.advance(DAY_MS)
    later = await world.watches.view(item)

    assert {each.fields["price"] for each in seen if each is not None and each.fields is not None} == {1}
    assert len(world.source.asked) == 2
    assert again is not None
    assert later is not None
    assert (later.checked_at_ms - again.checked_at_ms, later.priority) == (DAY_MS, 23)


async def test_an_item_whose_source_fails_when_it_is_viewed_is_shown_as_it_was_and_is_due(
    database: Database, clock: Clock
) -> None:
    world = World(database, clock, WatchRules(preset=Preset.ON_DEMAND))
    await world.watch("tea")
    item = (await world.known("tea")).item
    await world.watches.view(item)
    clock.advance(DAY_MS)
    world.source.fails = lambda number: number == 1

    seen = await world.watches.view(item)
    clock.advance(60_000)
    await world.run_through()

    assert seen is not None
    assert (seen.fields, seen.failures) == ({"price": 1}, 1)
    assert (await world.known("tea")).checked_at_ms == clock()


async def test_an_answer_that_is_none_is_a_failure(world: World) -> None:
    world.source.prices["tea"] = ["a", "list"]
    await world.watch("tea")

    await world.run_through()

    assert ((await world.known("tea")).failures, world.metrics.checks["prices", "failed"]) == (1, 1)
