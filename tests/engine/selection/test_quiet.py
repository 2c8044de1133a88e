from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tempogram.engine.selection.quiet import next_time_ms


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


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
