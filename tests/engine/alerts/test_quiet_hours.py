from __future__ import annotations

from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest

from tempogram.engine.alerts.quiet_hours import QuietHours, parse
from tempogram.engine.model.errors import SettingsError

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1_000)


@pytest.mark.parametrize(
    ("moment", "is_quiet"),
    [
        ("2026-07-01T21:59:59", False),
        ("2026-07-01T22:00:00", True),
        ("2026-07-02T06:59:59", True),
        ("2026-07-02T07:00:00", False),
        ("2026-01-01T22:00:00", True),
        ("2026-01-01T07:00:00", False),
    ],
)
def test_quiet_hours_over_midnight_follow_the_clocks_of_their_zone(moment: str, *, is_quiet: bool) -> None:
    quiet = parse("22:00-07:00", BERLIN)

    assert quiet is not None
    assert quiet.hold_at(at(moment)) == is_quiet


def test_quiet_hours_within_a_day_end_on_it() -> None:
    quiet = QuietHours(time(12), time(13, 30), BERLIN)

    hours = ("11:59", "12:00", "13:29", "13:30")
    assert [quiet.hold_at(at(f"2026-03-29T{hour}")) for hour in hours] == [False, True, True, False]


def test_no_quiet_hours_are_none() -> None:
    assert parse(" ", BERLIN) is None


@pytest.mark.parametrize("text", ["22-7", "22:00", "25:00-07:00", "22:60-07:00", "07:00-07:00", "quiet"])
def test_quiet_hours_that_make_no_sense_are_refused_with_what_was_written(text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        parse(text, BERLIN)
