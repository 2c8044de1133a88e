"""What the simulation says of a preset is what the program does, on a small scale."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tempogram.engine.model.watches import DAY_MS, HOUR_MS, Preset, Subscriber, WatchRules
from tempogram.engine.watches import simulation
from tempogram.engine.watches.decisions import FREE, PAID, STANDARD, decisions
from tempogram.engine.watches.simulation import Numbers, simulate
from tempogram.storage.database.database import Database
from tests.engine.watches.world import World
from tests.fakes import Clock

SMALL = Numbers(items=480, users=10, budget=600, days=3)


@pytest.mark.parametrize("preset", Preset)
@pytest.mark.parametrize("budget", [600, 100, 7])
def test_no_24_hours_have_more_calls_than_the_budget(preset: Preset, budget: int) -> None:
    measured = simulate(replace(SMALL, budget=budget), WatchRules(preset=preset), (FREE, PAID))

    assert 0 < measured.most_in_a_day <= budget


def test_spread_asks_for_each_item_once_a_day_and_nothing_is_older() -> None:
    measured = simulate(SMALL, WatchRules(), (STANDARD, STANDARD))

    assert measured.calls == (480, 480, 480)
    assert measured.worst_h <= 25
    assert not measured.is_late


def test_priority_makes_as_many_calls_as_it_may() -> None:
    measured = simulate(replace(SMALL, budget=10_000), WatchRules(preset=Preset.PRIORITY, hourly_max=7), (FREE, PAID))

    assert measured.calls == (168, 168, 168)


def test_on_demand_nothing_that_is_viewed_is_older_than_the_cache() -> None:
    measured = simulate(SMALL, WatchRules(preset=Preset.ON_DEMAND), (STANDARD, STANDARD))

    assert measured.viewed_worst_h <= 24
    assert measured.calls_a_day < 480


def test_only_what_is_viewed_is_asked_for_and_it_is_less() -> None:
    spread, viewed = (
        simulate(SMALL, WatchRules(preset=preset), (STANDARD, STANDARD)) for preset in (Preset.SPREAD, Preset.VIEWED)
    )

    assert 0 < viewed.calls_a_day < spread.calls_a_day


def test_by_user_a_free_plan_costs_a_seventieth_of_a_paid_one() -> None:
    free, paid = (
        simulate(replace(SMALL, active=1.0, paid=share), WatchRules(preset=Preset.BY_USER), (FREE, PAID))
        for share in (0.0, 1.0)
    )

    assert paid.calls_a_day == 480
    assert free.calls_a_day <= 100 / 3  # 10 users with 10 items a week, in the worst three days


def test_the_median_is_that_of_all_items_also_where_few_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    rules, numbers = WatchRules(preset=Preset.VIEWED), Numbers(items=2_500, users=50, budget=10_000, days=2)
    medians = []
    for sample in (numbers.items, 50):  # one of the 50 items of each user
        monkeypatch.setattr(simulation, "SAMPLE", sample)
        medians.append(simulate(numbers, rules, (STANDARD, STANDARD)).median_h)

    assert medians[1] == pytest.approx(medians[0], rel=0.25)


def test_a_table_says_what_does_not_scale() -> None:
    found = {each.name: each for each in decisions(SMALL, WatchRules())}

    assert len(found) == 7
    assert not found["spread, 24 slots"].scales
    assert found["on demand"].scales


@pytest.mark.parametrize("preset", [Preset.SPREAD, Preset.PRIORITY])
async def test_the_program_makes_the_calls_of_the_simulation(database: Database, clock: Clock, preset: Preset) -> None:
    rules = WatchRules(preset=preset, hourly_max=3)
    world = World(database, clock, rules)
    clock.advance(DAY_MS - clock() % DAY_MS)
    begins_ms = clock()
    for user in range(2):
        await world.watch(*(f"{user}-{number}" for number in range(40)), to=Subscriber(42, user + 1))

    days: list[int] = []
    for hour in range(3 * 24):
        clock.advance(begins_ms + hour * HOUR_MS - clock())
        await world.run_through()
        if hour % 24 == 23:
            days.append(len(world.source.asked) - sum(days))
    simulated = simulate(Numbers(items=80, users=2, budget=1_000, days=2), rules, (STANDARD, STANDARD))

    assert tuple(days[1:]) == simulated.calls
