from __future__ import annotations

from typing import Any

import pytest

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.services.calling.options import CallOptions

NAN = float("nan")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"retries": -1}, "retries is -1; it must be a whole number from 0 to 100"),
        ({"retries": True}, "retries is True; it must be a whole number from 0 to 100"),
        ({"retries": 1.5}, "retries is 1.5; it must be a whole number from 0 to 100"),
        ({"deadline_s": NAN}, "deadline_s is nan; it must be a number from 0.001 to 86,400.0"),
        ({"deadline_s": 0}, "deadline_s is 0; it must be a number from 0.001 to 86,400.0"),
        ({"timeout_s": -1}, "timeout_s is -1; it must be a number from 0.001 to 86,400.0"),
        ({"timeout_s": "30"}, "timeout_s is '30'; it must be a number from 0.001 to 86,400.0"),
        ({"delay_s": float("inf")}, "delay_s is inf; it must be a number from 0.0 to 3,600.0"),
        ({"concurrency": 0}, "concurrency is 0; it must be a whole number from 1 to 10,000"),
        ({"count": False}, "count is False; it must be a whole number from 1 to 1,000,000,000"),
        ({"window_ms": -5}, "window_ms is -5; it must be a whole number from 1 to 2,678,400,000"),
        ({"cost": -1}, "cost is -1; it must be a whole number from 0 to 1,000,000,000"),
        ({"priority": 10}, "priority is 10; it must be high, normal, low or 0 to 9"),
        ({"priority": True}, "priority is True; it must be high, normal, low or 0 to 9"),
        ({"priority": "urgent"}, "priority is 'urgent'; it must be high, normal, low or 0 to 9"),
        ({"when_full": "drop"}, "when_full is 'drop'; it must be refuse or wait"),
        ({"tenant": ""}, "tenant is ''; it must be a string of 1 to 200 characters"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_in_one_sentence(words: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        CallOptions(**words)

    assert str(refused.value) == sentence


def test_a_priority_has_a_number_or_a_name() -> None:
    assert [CallOptions(priority=each).priority_number for each in (0, 9, "high", "normal", "low")] == [0, 9, 2, 5, 8]
