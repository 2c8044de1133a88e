from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.scheduler.times import COUNTED_MAX, Cron, Every, Passed, read, stored
from tests.engine.scheduler.zones import differences

HOUR_MS = 3_600_000


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("30 2 * * *", "Europe/Berlin"),
        ("*/20 * * * *", "America/New_York"),
        ("59 1,2,3 * * *", "Australia/Lord_Howe"),
        ("0 0 * * *", "Africa/Casablanca"),
    ],
)
def test_each_due_time_of_two_years_is_that_of_a_reference_which_goes_through_every_minute(
    expression: str, zone: str
) -> None:
    assert differences(expression, zone) == []


@given(st.integers(0, 10**12), st.integers(0, 10**9), st.integers(100, 10**7), st.integers(0, 10**12))
def test_the_due_times_of_an_interval_that_have_passed_are_those_that_come_one_after_another(
    after_ms: int, length_ms: int, interval_ms: int, anchor_ms: int
) -> None:
    every, until_ms = Every(interval_ms), after_ms + length_ms % (20 * interval_ms)

    due, at_ms = [], after_ms
    while (at_ms := every.due_after(at_ms, anchor_ms=anchor_ms)) <= until_ms:
        due.append(at_ms)

    assert every.passed(after_ms, until_ms, anchor_ms=anchor_ms) == Passed(due[-1] if due else None, len(due))


def test_of_very_many_missed_due_times_the_newest_is_found_and_no_more_are_counted_than_take_a_moment() -> None:
    each_minute = Cron("* * * * *", "Europe/Berlin")

    passed = each_minute.passed(ms("2026-01-01"), ms("2027-01-01T00:00:30"), anchor_ms=0)

    assert passed == Passed(ms("2027-01-01"), COUNTED_MAX)


def test_a_cron_in_the_middle_of_the_repeated_hour_goes_on_behind_it() -> None:
    cron = Cron("30 2 * * *", "Europe/Berlin")

    assert cron.due_after(ms("2026-10-25T01:15"), anchor_ms=0) == ms("2026-10-26T01:30")
    assert cron.passed(ms("2026-10-24T12:00"), ms("2026-10-25T01:15"), anchor_ms=0) == Passed(ms("2026-10-25T00:30"), 1)


@pytest.mark.parametrize(
    ("expression", "zone", "sentence"),
    [
        ("* * * *", "UTC", "the cron expression '* * * *' cannot be read: Wrong number of fields"),
        ("61 * * * *", "UTC", "the cron expression '61 * * * *' cannot be read: Bad minute"),
        ("* * * * *", "Mars/Base", "there is no time zone 'Mars/Base'; write it like Europe/Berlin"),
        ("* * * * *", "../../etc/passwd", "there is no time zone '../../etc/passwd'; write it like Europe/Berlin"),
        ("*" * 300, "UTC", "the cron expression has 300 characters, not up to 200"),
    ],
)
def test_a_cron_that_makes_no_sense_is_refused_in_a_sentence(expression: str, zone: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Cron(expression, zone)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(("interval_ms", "upper_ms"), [(0, 0), (99, 0), (-5, 0), (10**12, 0), (60_000, 59_999)])
def test_an_interval_that_makes_no_sense_is_refused(interval_ms: int, upper_ms: int) -> None:
    with pytest.raises(SettingsError):
        Every(interval_ms, upper_ms)


@pytest.mark.parametrize("times", [Every(60_000), Every(60_000, 300_000), Cron("0 9 * * MON", "Asia/Kolkata")])
def test_times_that_are_stored_are_read_again(times: Every | Cron) -> None:
    assert read(stored(times)) == times


@pytest.mark.parametrize("text", ["", "every", "every x 0", "cron", "weekly"])
def test_stored_times_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        read(text)
