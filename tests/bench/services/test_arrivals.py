from __future__ import annotations

import pytest

from bench.services.arrivals import LIMITLESS, Arrivals


@pytest.mark.parametrize(
    ("at_ms", "above"),
    [([0, 500, 1_000, 1_500], 0), ([0, 500, 999], 1), ([900, 950, 1_000, 1_050], 2), ([0, 100], 0)],
)
def test_a_call_above_the_count_is_found_wherever_its_window_begins(at_ms: list[float], above: int) -> None:
    assert arrivals(at_ms).above(2, 1_000) == above


def test_calls_that_are_exactly_apart_are_not_too_near() -> None:
    assert arrivals([0, 250, 500, 600]).too_near(250) == 1


def test_each_call_that_arrives_after_a_later_one_was_overtaken() -> None:
    assert Arrivals([3, 0, 1, 4, 2], [0, 1, 2, 3, 4], 1).overtaken() == 3


def test_calls_of_a_report_stand_in_the_order_of_their_arrival() -> None:
    report = {"answered": [("1", 20.0, 200), ("0", 10.0, 200)], "limits": {LIMITLESS: {"most_under_way": 2}}}

    assert Arrivals.of(report) == Arrivals([0, 1], [10.0, 20.0], 2)


def arrivals(at_ms: list[float]) -> Arrivals:
    return Arrivals(range(len(at_ms)), at_ms, 1)
