"""A few seconds of the load, whose counts are judged and not its speed."""

from __future__ import annotations

import pytest

from bench.load.plan import LoadPlan
from bench.load.run import run


@pytest.mark.parametrize(("rate", "ceiling"), [(20, 10)], ids=["outruns its ceiling"])
async def test_each_update_of_a_few_seconds_is_answered_once_and_no_window_is_broken(rate: int, ceiling: int) -> None:
    plan = LoadPlan(seconds=2, rate=rate, bots=6, users=10, ceiling=ceiling, seed=7)

    result = (await run(plan)).result

    assert (len(result.answered), result.lost, result.duplicates, result.unasked) == (2 * rate, [], 0, 0)
    assert result.redelivered == 0
    assert (result.report.out_of_order, result.throttled, result.report.violations) == (0, 0, {})
    assert min(result.after_ms()) > 0, "nothing is answered before it is asked"
