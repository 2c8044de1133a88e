from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.services.checking.spread import LEAST_S, STEP, Spread

SECONDS = st.lists(st.floats(0, 10_000), min_size=1, max_size=60)


@given(SECONDS, st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_one_percent_too_high_at_the_most(seconds: list[float], share: float) -> None:
    spread = Spread()
    for each in seconds:
        spread.add(each)

    exact_s = sorted(seconds)[math.ceil(share * len(seconds)) - 1]
    assert exact_s * 0.9999 <= spread.quantile_s(share) <= max(LEAST_S, exact_s) * STEP * 1.0001


def test_a_million_times_take_no_more_memory_than_their_buckets() -> None:
    spread = Spread()
    for ms in range(1, 100_000):
        spread.add(ms / 1_000)

    assert spread.count == 99_999
    assert len(spread._buckets) < 1_200


def test_of_none_there_is_no_percentile() -> None:
    assert Spread().quantile_s(0.99) == pytest.approx(0)
