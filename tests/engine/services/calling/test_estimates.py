from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.services.calling.estimates import FACTOR_MAX, WORST_OF, Estimates

COSTS = st.lists(st.tuples(st.integers(1, 1_000), st.integers(0, 4_000)), min_size=1, max_size=WORST_OF)


@given(COSTS)
def test_the_next_call_may_cost_as_much_more_as_the_worst_of_the_last_ones(calls: list[tuple[int, int]]) -> None:
    estimates = Estimates()
    for cost, used in calls:
        estimates.learn(cost, used)

    worst = max(used / cost for cost, used in calls)
    assert 0 <= estimates.most(1_000) - 1_000 * min(FACTOR_MAX, max(1.0, worst)) < 1


def test_a_call_that_was_far_off_is_forgotten_after_a_while() -> None:
    estimates = Estimates()
    estimates.learn(100, 400)
    for _ in range(2 * WORST_OF):
        estimates.learn(100, 100)

    assert estimates.most(100) == 100
