"""When each recipient of a broadcast is due: at once, at a time of its own day, spread over hours."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zlib import crc32
from zoneinfo import ZoneInfo

from tempogram.engine.model.broadcasts import Plan
from tempogram.engine.model.selection import QuietHours, Recipient
from tempogram.engine.selection.days import minute_of_day

SHARES = 1 << 32
"""Of the time over which chats are spread; each has one by the hash of its id."""


def due_ms(plan: Plan, recipient: Recipient, *, started_at_ms: int) -> int:
    """Return when a recipient is due.

    Quiet hours are those of the plan at this time, and the chat's own if it is in them when it is selected.
    """
    at_ms = started_at_ms if plan.at_minute is None else next_ms(recipient.zone, plan.at_minute, started_at_ms)
    at_ms += share_of(str(recipient.chat_id)) * plan.spread_ms // SHARES
    at_ms = max(at_ms, recipient.not_before_ms or 0)
    return at_ms if plan.quiet_hours is None else after_quiet(plan.quiet_hours, recipient.zone, at_ms)


def share_of(chat_id: str) -> int:
    """Return a number below ``SHARES``, the same for a chat each time."""
    return crc32(chat_id.encode())


def next_ms(zone: str, minute: int, after_ms: int) -> int:
    """Return when a clock on the wall shows a minute of the day next, or shows it now.

    Where it is skipped, it is the moment at which the clock jumps over it; where it comes twice, the first.

    >>> nine = next_ms("Europe/Berlin", 9 * 60, 1_774_749_600_000)  # 03:00 in Berlin, the day the clocks change
    >>> datetime.fromtimestamp(nine / 1_000, UTC).isoformat()
    '2026-03-29T07:00:00+00:00'
    """
    known = ZoneInfo(zone)
    today = datetime.fromtimestamp(after_ms / 1_000, known).date()
    for days in range(3):
        at = datetime.combine(today + timedelta(days=days), time(minute // 60, minute % 60), known)
        at_ms = round(at.astimezone(UTC).timestamp() * 1_000)
        if at_ms + 60_000 > after_ms:
            return max(at_ms, after_ms)
    raise AssertionError("each minute of the day comes within two days")


def after_quiet(quiet: QuietHours, zone: str, at_ms: int) -> int:
    """Return a time, or when the quiet hours end that it is in.

    >>> night = QuietHours(from_minute=22 * 60, until_minute=8 * 60)
    >>> (after_quiet(night, "UTC", 23 * 3_600_000) / 3_600_000, after_quiet(night, "UTC", 9 * 3_600_000) / 3_600_000)
    (32.0, 9.0)
    """
    start, end, minute = quiet.from_minute, quiet.until_minute, minute_of_day(zone, at_ms)
    is_in = start <= minute < end if start <= end else minute >= start or minute < end
    return next_ms(zone, end, at_ms) if is_in else at_ms
