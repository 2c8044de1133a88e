from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from tempogram.engine.watches.pace import CALLS, PAUSE_MS_MAX, SLOWED_MS, Pace


def after(*outcomes: bool, pause_ms: int = 500) -> Pace:
    pace = Pace(pause_ms)
    for failed in outcomes:
        pace.note(failed=failed)
    return pace


def test_a_tenth_of_failures_is_well() -> None:
    assert after(*[True] * 2, *[False] * (CALLS - 2)).pause_ms == 500


def test_more_than_a_tenth_slow_the_pace_at_once() -> None:
    assert [after(*[True] * failures).pause_ms for failures in (2, 3, 6, 9)] == [500, 5_000, 10_000, 20_000]


def test_a_source_that_stays_unwell_is_asked_once_a_minute_at_the_least() -> None:
    assert after(*[True] * 100).pause_ms == PAUSE_MS_MAX


def test_a_pace_that_is_slower_than_that_already_stays() -> None:
    assert after(*[True] * 100, pause_ms=3_600_000).pause_ms == 3_600_000


@given(some.lists(some.booleans(), max_size=200))
def test_a_slowed_pace_is_as_before_once_enough_calls_were_well(outcomes: list[bool]) -> None:
    pace = after(*outcomes)

    assert pace.pause_ms == 500 or SLOWED_MS <= pace.pause_ms <= PAUSE_MS_MAX
    for _ in range(2 * CALLS):
        pace.note(failed=False)
    assert pace.pause_ms == 500
