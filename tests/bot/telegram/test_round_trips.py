"""What may be taken off an answer's time, and that a strict server finds no window broken by it."""

from __future__ import annotations

import math
import random
from bisect import bisect_left, insort
from collections.abc import Callable
from heapq import heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.bot.telegram.round_trips import FEWEST, RoundTrips
from tempogram.engine.limits.limits import Limit
from tempogram.engine.limits.spacing import spacing
from tempogram.engine.limits.windows import Window

LIMIT = Limit(30, 1_000)
SLOT_MS = LIMIT.window_ms / LIMIT.count
CALLS = 600
SEEDS = 6

Draw = Callable[[random.Random], float]
"""Draws how long one call takes, in milliseconds."""


def log_normal(median_ms: float, sigma: float) -> Draw:
    return lambda chance: median_ms * math.exp(chance.gauss(0, sigma))


def steady(way_ms: float) -> Draw:
    return lambda chance: way_ms + chance.random()


def noted(trips: RoundTrips, *round_trips_ms: float, at_s: float = 0.0) -> float:
    """Note some round trips at one time; return what is certain then, in ms."""
    return [trips.note(each_ms / 1_000, at_s) for each_ms in round_trips_ms][-1] * 1_000


def test_with_a_fixed_guard_the_certain_way_is_the_shortest_of_two_minutes_less_the_guard() -> None:
    trips = RoundTrips(guard_s=0.010, settled_s=0.0)

    certain_ms = [noted(trips, ms, at_s=at_s) for ms, at_s in [(50, 0), (30, 10), (90, 70), (80, 119), (70, 131)]]

    assert certain_ms == pytest.approx([40, 20, 20, 20, 60])


def test_an_old_way_is_forgotten() -> None:
    trips = RoundTrips(guard_s=0.0, settled_s=0.0)
    noted(trips, 10)

    assert noted(trips, 90, at_s=500.0) == pytest.approx(90)


def test_in_its_first_seconds_a_process_knows_no_way_that_stays() -> None:
    trips = RoundTrips()

    certain_ms = [noted(trips, *[200] * 20, at_s=at_s) for at_s in (100.0, 104.9, 105.0)]

    assert certain_ms == [0, 0, 200]


def test_with_few_round_trips_a_place_counts_from_the_answer() -> None:
    trips = RoundTrips(settled_s=0.0)

    assert noted(trips, *[100.0] * (FEWEST - 1)) == 0
    assert noted(trips, 100.0) == pytest.approx(100)


def test_a_way_that_varies_is_guarded_by_the_gaps_between_its_shortest_calls() -> None:
    steady_way, varying_way = RoundTrips(settled_s=0.0), RoundTrips(settled_s=0.0)

    nearly_all_ms = noted(steady_way, *[100 + n / 100 for n in range(100)])
    much_less_ms = noted(varying_way, *[100 + n for n in range(100)])

    assert nearly_all_ms == pytest.approx(99.84, abs=0.005)
    assert much_less_ms == pytest.approx(84.4, abs=0.5)


def test_more_round_trips_of_the_same_kind_need_less_guard() -> None:
    chance, draw, trips = random.Random(7), log_normal(40, 0.35), RoundTrips(settled_s=0.0)
    shortest_ms, guards_ms = math.inf, []

    for _ in range(3_000):
        round_trip_ms = draw(chance)
        shortest_ms = min(shortest_ms, round_trip_ms)
        guards_ms.append(shortest_ms - noted(trips, round_trip_ms))

    assert guards_ms[30] > 2 * guards_ms[-1]


@given(st.lists(st.floats(0.5, 5_000), min_size=1, max_size=200))
def test_never_more_than_the_shortest_round_trip_is_taken_off(round_trips_ms: list[float]) -> None:
    trips = RoundTrips(settled_s=0.0)

    for n, each_ms in enumerate(round_trips_ms, start=1):
        assert 0 <= noted(trips, each_ms) <= min(round_trips_ms[:n]) + 1e-9


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("draw", [log_normal(40, 0.35), log_normal(120, 0.35), steady(120)])
def test_a_server_that_counts_anywhere_in_the_round_trip_finds_no_window_broken(draw: Draw, share: float) -> None:
    assert [violations(draw, share, seed)[0] for seed in range(SEEDS)] == [0] * SEEDS


def test_without_a_guard_a_server_that_counts_at_its_answer_finds_windows_broken() -> None:
    assert any(violations(log_normal(40, 0.35), 1.0, seed, guard_s=0.0)[0] for seed in range(SEEDS))


@pytest.mark.parametrize(
    ("draw", "least"), [(log_normal(40, 0.35), 0.96), (steady(120), 0.99), (log_normal(120, 0.35), 0.89)]
)
def test_the_guard_leaves_of_the_limit_nearly_what_the_variation_leaves(draw: Draw, least: float) -> None:
    assert sum(violations(draw, 0.5, seed)[1] for seed in range(SEEDS)) / SEEDS >= least


def violations(draw: Draw, share: float, seed: int, *, guard_s: float | None = None) -> tuple[int, float]:
    """Send 600 calls through a window as fast as it allows, to a server that counts after a share of the round trip.

    Return how often the server found 31 within a second, and how much of the limit was used.
    """
    chance, window, trips = random.Random(seed), Window(LIMIT), RoundTrips(guard_s=guard_s, settled_s=0.0)
    apart = spacing(LIMIT, 2)
    assert apart is not None
    answers: list[tuple[float, float]] = []
    counted: list[float] = []
    now_ms = 1_000
    for _ in range(CALLS):
        while True:
            ready_at_ms = window.ready_at_ms(now_ms, 1)
            ready_at_ms = None if ready_at_ms is None else max(ready_at_ms, apart.free_at_ms(now_ms, 1))
            if answers and (ready_at_ms is None or answers[0][0] < ready_at_ms):
                answered, round_trip_ms = heappop(answers)
                now_ms = max(now_ms, int(answered))
                certain_way_s = trips.note(round_trip_ms / 1_000, answered / 1_000)
                window.settle(int(answered) - int(certain_way_s * 1_000), 1)
                continue
            assert ready_at_ms is not None
            now_ms = max(now_ms, ready_at_ms)
            break
        window.take(now_ms, 1)
        apart.spend(now_ms, 1)
        written, round_trip_ms = now_ms + chance.random(), draw(chance)
        insort(counted, written + share * round_trip_ms)
        heappush(answers, (written + round_trip_ms, round_trip_ms))
    pairs = zip(counted, counted[LIMIT.count :], strict=False)
    broken = sum(later - earlier < LIMIT.window_ms for earlier, later in pairs)
    second = bisect_left(counted, counted[0] + LIMIT.window_ms)
    use = (len(counted) - second) * SLOT_MS / (counted[-1] - counted[0] - LIMIT.window_ms)
    return broken, use
