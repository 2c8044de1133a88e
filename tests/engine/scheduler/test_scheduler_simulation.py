from __future__ import annotations

from tests.engine.scheduler.simulation import simulate
from tests.virtual_time import in_virtual_time


def test_two_hours_of_unruly_tasks_leave_no_gap_and_no_due_time_uncounted() -> None:
    report = in_virtual_time(simulate(2, seed=1, kills=0))

    assert report.wrong() == []
    assert report.begun > 1_000
    assert min(report.results[word] for word in ("failed", "timed_out", "cancelled", "overruns")) > 0


def test_leaders_that_are_killed_near_a_due_time_make_no_run_missed_or_double() -> None:
    report = in_virtual_time(simulate(2, seed=2, kills=20))

    assert report.wrong() == []
    assert report.kills == 20
    assert report.results["lost"] > 0


def test_leaders_that_are_frozen_and_clocks_that_are_stepped_make_no_run_missed_or_double() -> None:
    report = in_virtual_time(simulate(2, seed=3, kills=5, freezes=25))

    assert report.wrong() == []
    assert report.freezes == 25
