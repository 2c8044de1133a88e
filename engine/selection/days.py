"""What day and what time of day it is, in every zone.

A local day is the time between two local midnights: 23 or 25 hours long where clocks change, and it begins later where
midnight itself is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from tempogram.engine.model.zones import zone_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalDay:
    """A day in a zone. It begins with the first and ends before the second instant, in milliseconds."""

    zone: str
    date: date
    starts_ms: int
    ends_ms: int


def local_day(zone: str, at_ms: int, *, days_ago: int = 0) -> LocalDay:
    """Return the day that an instant falls on in a zone, or one so many days before it.

    >>> day = local_day("Europe/Berlin", 1_774_749_600_000)
    >>> day.date.isoformat(), (day.ends_ms - day.starts_ms) / 3_600_000
    ('2026-03-29', 23.0)
    """
    known = zone_of(zone)
    on = datetime.fromtimestamp(at_ms / 1_000, known).date() - timedelta(days=days_ago)
    return LocalDay(zone=zone, date=on, starts_ms=_midnight_ms(on, known), ends_ms=_midnight_ms(on + _DAY, known))


def minute_of_day(zone: str, at_ms: int) -> int:
    """Return what a clock on the wall shows, as minutes since 0:00."""
    local = datetime.fromtimestamp(at_ms / 1_000, zone_of(zone))
    return local.hour * 60 + local.minute


_DAY = timedelta(days=1)


def _midnight_ms(on: date, zone: ZoneInfo) -> int:
    """Return when a date begins; where midnight comes twice, the first; where it is skipped, the jump."""
    return round(datetime.combine(on, time(), zone).astimezone(UTC).timestamp() * 1_000)
