from __future__ import annotations

from typing import Any

import pytest

from bench.harness import Checks
from bench.services.bulk_kills import EXAMPLES, judge_items, judge_pauses

AT_LEAST_ONCE, AT_MOST_ONCE, BATCHES = EXAMPLES


def report(calls: dict[int, int], failed: tuple[int, ...] = ()) -> dict[str, Any]:
    answered = [(str(item), 0, 500 if item in failed else 200) for item in calls]
    return {"calls": {str(item): count for item, count in calls.items()}, "answered": answered}


def program(uncertain: tuple[int, ...] = (), failures: tuple[int, ...] = (), ended: int = 30) -> dict[str, Any]:
    return {"counts": {"ended": ended}, "failures": failures, "uncertain": uncertain}


ONCE = dict.fromkeys(range(30), 1)
NOT_7 = {item: 1 for item in range(30) if item != 7}


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (report(ONCE | {7: 2}), program(uncertain=(7,))),
        (report(ONCE, failed=(3,)), program(failures=(3,))),
    ],
)
def test_what_was_under_way_may_arrive_twice_and_what_failed_must_be_listed(
    seen: dict[str, Any], said: dict[str, Any]
) -> None:
    checks = Checks()

    judge_items(checks, AT_LEAST_ONCE, seen, said, kill_count=1)

    assert checks.failed == []


@pytest.mark.parametrize(
    ("example", "seen", "said", "fault"),
    [
        (AT_LEAST_ONCE, report(NOT_7), program(), "1 never arrived"),
        (AT_LEAST_ONCE, report(ONCE | {7: 2}), program(), "of those 0 are named"),
        (AT_LEAST_ONCE, report(dict.fromkeys(range(30), 2)), program(uncertain=(*range(30),)), "30 arrived again"),
        (AT_LEAST_ONCE, report(ONCE, failed=(3,)), program(), "1 failed at the server, 0 are in the report"),
        (AT_LEAST_ONCE, report(ONCE), program(ended=29), "29 of 30 items have ended"),
        (AT_MOST_ONCE, report(ONCE | {7: 2}), program(uncertain=(7,)), "1 arrived twice"),
        (AT_MOST_ONCE, report(NOT_7), program(), "1 never arrived; 0 are named as uncertain"),
    ],
)
def test_each_broken_promise_is_named(example: Any, seen: dict[str, Any], said: dict[str, Any], fault: str) -> None:
    checks = Checks()

    judge_items(checks, example, seen, said, kill_count=1)

    assert len(checks.failed) == 1
    assert fault in checks.failed[0]


def test_a_pause_that_is_too_short_is_named() -> None:
    checks = Checks()

    judge_pauses(checks, {"limits": {"records": {"spans": [(0, 10), (110, 120), (215, 230)]}}})

    assert checks.failed == ["    at least 95 ms from a batch's answer to the next batch"]
