from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tempogram.engine.model.selection import QuietHours
from tempogram.engine.selection.days import minute_of_day
from tempogram.engine.selection.quiet import next_time_ms, quiet_until_ms

BERLIN = "Europe/Berlin"


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def quiet(begin: str, end: str) -> QuietHours:
    first, last = (60 * int(each[:2]) + int(each[3:]) for each in (begin, end))
    return QuietHours(from_minute=first, until_minute=last)


@pytest.mark.parametrize(
    ("zone", "at", "minute", "shown"),
    [
        ("Europe/Berlin", "2026-06-01T23:00+02:00", 8 * 60, "2026-06-02T08:00+02:00"),
        ("Europe/Berlin", "2026-06-01T08:00+02:00", 8 * 60, "2026-06-02T08:00+02:00"),
        ("Asia/Kathmandu", "2026-06-01T07:59:59+05:45", 8 * 60, "2026-06-01T08:00+05:45"),
        ("Europe/Berlin", "2026-03-29T01:30+01:00", 2 * 60 + 30, "2026-03-29T03:00+02:00"),  # 2:30 is skipped
        ("Europe/Berlin", "2026-10-25T02:15+02:00", 2 * 60 + 30, "2026-10-25T02:30+02:00"),  # 2:30 comes twice
        ("Europe/Berlin", "2026-10-25T02:45+02:00", 2 * 60 + 30, "2026-10-25T02:30+01:00"),
        ("Australia/Lord_Howe", "2026-10-03T23:00+10:30", 2 * 60 + 15, "2026-10-04T02:30+11:00"),  # half an hour
        ("Africa/Cairo", "2026-04-23T23:50+02:00", 0, "2026-04-24T01:00+03:00"),  # midnight is skipped
    ],
)
def test_the_next_time_that_a_clock_shows_is_right_where_clocks_change(
    zone: str, at: str, minute: int, shown: str
) -> None:
    found = next_time_ms(zone, ms(at), minute)

    assert datetime.fromtimestamp(found / 1_000, ZoneInfo(zone)).isoformat(timespec="minutes") == shown


@pytest.mark.parametrize(
    ("hours", "at", "ends"),
    [
        (("22:00", "08:00"), "2026-03-28T23:00+01:00", "2026-03-29T08:00+02:00"),
        (("13:00", "15:00"), "2026-01-05T14:00+01:00", "2026-01-05T15:00+01:00"),
        (("22:00", "02:30"), "2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00"),  # 2:30 is skipped
        (("02:50", "02:40"), "2026-10-25T02:55+02:00", "2026-10-25T02:40+01:00"),  # 2:40 comes again
    ],
)
def test_quiet_hours_end_when_the_wall_shows_their_end_next(hours: tuple[str, str], at: str, ends: str) -> None:
    until_ms = quiet_until_ms(quiet(*hours), BERLIN, ms(at))

    assert until_ms is not None
    assert datetime.fromtimestamp(until_ms / 1_000, ZoneInfo(BERLIN)).isoformat(timespec="minutes") == ends


def test_outside_of_quiet_hours_and_without_any_nothing_waits() -> None:
    noon = ms("2026-01-05T12:00+01:00")

    assert quiet_until_ms(quiet("22:00", "08:00"), BERLIN, noon) is None
    assert quiet_until_ms(quiet("12:00", "12:00"), BERLIN, noon) is None
    assert quiet_until_ms(None, BERLIN, noon) is None


@given(
    now=some.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=some.just(UTC)),  # noqa: DTZ001 - a bound
    begin=some.integers(0, 1_439),
    end=some.integers(0, 1_439),
)
def test_when_quiet_hours_end_the_wall_shows_that_minute_or_has_jumped_over_it(
    now: datetime, begin: int, end: int
) -> None:
    now_ms = round(now.timestamp() * 1_000)
    until_ms = quiet_until_ms(QuietHours(from_minute=begin, until_minute=end), BERLIN, now_ms)

    if until_ms is not None:
        shown = minute_of_day(BERLIN, until_ms)
        assert 0 < until_ms - now_ms <= 25 * 3_600_000
        assert shown == end or (shown == 3 * 60 and 2 * 60 <= end < 3 * 60)
