"""When a chat's quiet hours end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tempogram.engine.model.selection import QuietHours, Recipient
from tempogram.engine.model.zones import zone_of
from tempogram.engine.selection.days import local_day, minute_of_day

SECOND_MS = 1_000


def is_quiet(minute: int, *, from_minute: int, until_minute: int) -> bool:
    """Tell whether a minute of the day is in quiet hours, which may go over midnight.

    >>> [is_quiet(minute, from_minute=22 * 60, until_minute=8 * 60) for minute in (0, 8 * 60, 23 * 60)]
    [True, False, True]
    """
    if from_minute <= until_minute:
        return from_minute <= minute < until_minute
    return minute >= from_minute or minute < until_minute


def held(recipient: Recipient, quiet_hours: QuietHours | None, now_ms: int) -> Recipient:
    """Return a chat that was selected earlier as it would be written to now, or on its date if that is still to come.

    In quiet hours it is held until they end, which may be on the next date.
    """
    zone, own_day = recipient.zone, local_day(recipient.zone, recipient.day_ends_ms - 1)
    goes_at_ms = max(now_ms, own_day.starts_ms)
    goes_at_ms = quiet_until_ms(quiet_hours, zone, goes_at_ms) or goes_at_ms
    on = local_day(zone, goes_at_ms)
    return replace(
        recipient,
        local_date=on.date.isoformat(),
        not_before_ms=goes_at_ms if goes_at_ms > now_ms else None,
        day_ends_ms=on.ends_ms,
    )


def quiet_until_ms(quiet: QuietHours | None, zone: str, at_ms: int) -> int | None:
    """Return when the quiet hours end that an instant is in; None: it is in none.

    >>> night = QuietHours(from_minute=22 * 60, until_minute=8 * 60)
    >>> quiet_until_ms(night, "UTC", 23 * 3_600_000) // 3_600_000, quiet_until_ms(night, "UTC", 12 * 3_600_000)
    (32, None)
    """
    if quiet is None:
        return None
    minute = minute_of_day(zone, at_ms)
    if not is_quiet(minute, from_minute=quiet.from_minute, until_minute=quiet.until_minute):
        return None
    return next_time_ms(zone, at_ms, quiet.until_minute)


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
