"""A window of uses that weigh differently, beside an account of each use."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.limits.limits import Limit
from tempogram.engine.limits.weighted_window import WeightedWindow

COUNT, WINDOW_MS = 10, 1_000
calls = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 10), st.integers(0, 200), st.integers(0, 14)), min_size=1, max_size=30
)
"""How long the one before lies back, what it is thought to cost, how long it takes, and what it did cost."""


@given(calls=calls, grains=st.sampled_from((1, 7, 100, WINDOW_MS)))
def test_no_window_holds_more_than_the_limit_if_no_call_costs_more_than_was_thought(
    calls: list[tuple[int, int, int, int]], grains: int
) -> None:
    window, used, now_ms = WeightedWindow(Limit(COUNT, WINDOW_MS), grains=grains), [], 5_000
    for pause_ms, cost, took_ms, did_cost in calls:
        free_at_ms = window.free_at_ms(now_ms + pause_ms, cost)
        assert free_at_ms is not None
        window.spend(free_at_ms + took_ms, cost)
        window.move(free_at_ms + took_ms, free_at_ms + took_ms // 2, cost, min(cost, did_cost))
        used.append((free_at_ms + took_ms // 2, min(cost, did_cost)))
        now_ms = free_at_ms

    assert all(sum(units for at, units in used if since <= at < since + WINDOW_MS) <= COUNT for since, _ in used)


@given(calls=calls)
def test_everything_is_free_again_when_a_window_has_passed(calls: list[tuple[int, int, int, int]]) -> None:
    window, last_ms = WeightedWindow(Limit(COUNT, WINDOW_MS), grains=100), 0
    for pause_ms, cost, took_ms, did_cost in calls:
        last_ms += pause_ms
        window.spend(last_ms + took_ms, cost)
        window.move(last_ms + took_ms, last_ms, cost, did_cost)

    assert window.taken(last_ms + 200 + WINDOW_MS + WINDOW_MS // 100) == 0


def test_what_is_in_flight_frees_nothing_by_itself() -> None:
    window = WeightedWindow(Limit(3, 1_000), grains=1_000)
    window.take(2)
    in_flight = window.free_at_ms(0, 2)
    window.settle(10, 2)

    assert (in_flight, window.free_at_ms(10, 2)) == (None, 1_011)


def test_what_is_used_stays_used_under_another_limit() -> None:
    window = WeightedWindow(Limit(3, 1_000), grains=1_000)
    window.spend(0, 3)

    window.reform(Limit(4, 5_000), grains=5_000)

    assert (window.free_at_ms(10, 1), window.free_at_ms(10, 2)) == (10, 5_001)


def test_a_use_that_was_forgotten_takes_nothing_from_another_of_its_grain() -> None:
    window = WeightedWindow(Limit(100, 1_000), grains=1)
    window.spend(10, 5)
    window.clear(999)
    window.spend(999, 2)

    window.move(10, 10, 5, 0)

    assert window.taken(1_000) == 2


def test_uses_of_nothing_take_no_room() -> None:
    window = WeightedWindow(Limit(3, 60_000), grains=60_000)
    for at_ms in range(1_000):
        window.spend(at_ms, 0)

    assert window._units == []
