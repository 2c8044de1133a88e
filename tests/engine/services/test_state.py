from __future__ import annotations

import time

import pytest

from tempogram.engine.services.limit import CallLimit
from tempogram.engine.services.state import LimiterState, reason_of, time_of

NOW_MS = int(time.time() * 1_000)


@pytest.mark.parametrize(
    ("limiter", "sentence"),
    [
        (
            LimiterState(name="x", limit=CallLimit(), held_until_ms=NOW_MS, held_by="said by the service"),
            f"x is held until {time_of(NOW_MS)}, said by the service, and 2 calls stand before it",
        ),
        (
            LimiterState(name="x", limit=CallLimit(concurrency=1), under_way=1, free_at_ms=None),
            "the only place of x is taken, and 2 calls stand before it",
        ),
        (
            LimiterState(name="x", limit=CallLimit(concurrency=9), under_way=1, free_at_ms=None),
            "x failed, and few calls at a time try whether it is well again, and 2 calls stand before it",
        ),
        (
            LimiterState(name="x", limit=CallLimit(count=1, window_ms=1_000), free_at_ms=NOW_MS + 1),
            f"what x allows is used up until {time_of(NOW_MS + 1)}, and 2 calls stand before it",
        ),
        (LimiterState(name="x", limit=CallLimit(), free_at_ms=NOW_MS), "2 calls stand before it at x"),
    ],
    ids=["held", "full", "failed", "used_up", "behind_others"],
)
def test_the_reason_why_a_call_waits_is_one_sentence(limiter: LimiterState, sentence: str) -> None:
    assert reason_of(limiter, ahead=2, now_ms=NOW_MS) == sentence


def test_a_call_whose_use_is_not_in_the_database_waits_for_that() -> None:
    free = LimiterState(name="x", limit=CallLimit(count=1, window_ms=900_000), free_at_ms=NOW_MS)

    assert reason_of(free, ahead=0, now_ms=NOW_MS) == "the database does not have its use of x yet"


def test_a_time_of_another_day_has_its_date() -> None:
    assert len(time_of(NOW_MS)) == len("14:32:10")
    assert len(time_of(0)) == len("1970-01-01 00:00:00")
