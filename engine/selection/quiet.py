"""When a chat's quiet hours end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tempogram.engine.model.zones import zone_of

SECOND_MS = 1_000


def is_quiet(minute: int, *, from_minute: int, until_minute: int) -> bool:
    """Tell whether a minute of the day is in quiet hours, which may go over midnight.

    >>> [is_quiet(minute, from_minute=22 * 60, until_minute=8 * 60) for minute in (0, 8 * 60, 23 * 60)]
    [True, False, True]
    """
    if from_minute <= until_minute:
        return from_minute <= minute < until_minute
    return minute >= from_minute or minute < until_minute


def next_time_ms(zone: str, at_ms: int, minute: int) -> int:
    """Return when a clock on the wall in a zone shows a minute of the day next, after an instant.

    Where it skips that minute, that is when it jumps over it; where it shows it twice, each counts.

    >>> next_time_ms("Europe/Berlin", 1_774_738_800_000, 2 * 60 + 30) == 1_774_746_000_000  # 2:30 is skipped
    True
    """
    known = zone_of(zone)
    today = datetime.fromtimestamp(at_ms / 1_000, known).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    for days in (0, 1, 2):
        on = today.replace(tzinfo=None) + timedelta(days=days, minutes=minute)
        for shown_ms in _instants(on, known):
            if shown_ms > at_ms:
                return shown_ms
    raise AssertionError("a clock shows each minute, or jumps over it, within two days")


def _instants(wall: datetime, zone: ZoneInfo) -> list[int]:
    """Return when a clock shows a time: once, twice, or the jump over it."""
    first, second = (_ms(wall.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    if first <= second:
        return [first, second]
    return [_jump(second, first, zone)]


def _ms(moment: datetime) -> int:
    return round(moment.astimezone(UTC).timestamp() * 1_000)


def _jump(before_ms: int, after_ms: int, zone: ZoneInfo) -> int:
    """Return when the offset changes between two instants."""
    old = _offset(before_ms, zone)
    while after_ms - before_ms > SECOND_MS:
        middle_ms = (before_ms + after_ms) // (2 * SECOND_MS) * SECOND_MS
        before_ms, after_ms = (middle_ms, after_ms) if _offset(middle_ms, zone) == old else (before_ms, middle_ms)
    return after_ms


def _offset(at_ms: int, zone: ZoneInfo) -> timedelta | None:
    return datetime.fromtimestamp(at_ms / 1_000, zone).utcoffset()
