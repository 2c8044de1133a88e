from __future__ import annotations

import pytest

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.limit import CallLimit, limit_of


def test_the_words_of_bottleneck_are_accepted() -> None:
    words = {"max_concurrent": 5, "min_time": 200, "reservoir": 10, "reservoir_refresh_amount": 10}

    assert limit_of({**words, "reservoir_refresh_interval": 1_000}) == CallLimit(
        count=10, window_ms=1_000, apart_ms=200, concurrency=5
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"count": 5}, "a count of 5 in a window of 0 ms is no limit; set both, or neither"),
        ({"reservoir": 5, "count": 6, "window_ms": 1}, "count (6) and another word for it (5) differ"),
        ({"max_concurent": 5}, "max_concurent is no part of a limit; there are"),
        ({"concurrency": -1}, "concurrency is -1; it must be a whole number from 0 to 10,000"),
        ({"concurrency": True}, "concurrency is True; it must be a whole number from 0 to 10,000"),
        ({"count": "5", "window_ms": 1}, "count is '5'; it must be a whole number from 0 to 1,000,000,000"),
        ({"count": 5, "window_ms": 1, "burst": 6}, "a burst of 6 must be between 1 and the count, 5"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_in_one_sentence(words: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        limit_of(words)

    assert str(refused.value).startswith(sentence)


def test_what_a_change_leaves_out_stays_as_it_was() -> None:
    base = CallLimit(count=1, window_ms=1_000, concurrency=10)

    assert limit_of({"count": 2}, base) == CallLimit(count=2, window_ms=1_000, concurrency=10)


def test_uses_of_a_window_that_outlives_a_restart_are_kept() -> None:
    assert CallLimit(count=15, window_ms=900_000).is_kept
    assert CallLimit(count=100_000, window_ms=60_000).is_kept
    assert not CallLimit(count=10, window_ms=1_000).is_kept
