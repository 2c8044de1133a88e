"""When each recipient of a broadcast is due: at once, at a time of its own day, spread over hours."""

from __future__ import annotations

from zlib import crc32

from tempogram.engine.model.broadcasts import Plan
from tempogram.engine.model.selection import QuietHours, Recipient
from tempogram.engine.selection.days import minute_of_day
from tempogram.engine.selection.quiet import next_time_ms, quiet_until_ms

SHARES = 1 << 32
"""Of the time over which chats are spread; each has one by the hash of its id."""


def due_ms(plan: Plan, recipient: Recipient, *, started_at_ms: int) -> int:
    """Return when a recipient is due.

    Quiet hours are those of the plan at this time, and the chat's own if it is in them when it is selected.
    """
    at_ms = begins_ms(plan, recipient.zone, started_at_ms)
    at_ms += crc32(str(recipient.chat_id).encode()) * plan.spread_ms // SHARES
    at_ms = max(at_ms, recipient.not_before_ms or 0)
    return after_quiet(plan.quiet_hours, recipient.zone, at_ms)


def begins_ms(plan: Plan, zone: str, started_at_ms: int) -> int:
    """Return when the first chat of a zone is due: at once, or when a clock there shows the minute, now or next.

    >>> from tempogram.engine.model.broadcasts import Content
    >>> from tempogram.engine.model.selection import Selection
    >>> plan = Plan(selection=Selection(bot_id=1), content=Content(method="sendMessage", params={}), at_minute=600)
    >>> [begins_ms(plan, "UTC", at_ms) for at_ms in (35_999_999, 36_000_001, 36_060_000)]
    [36000000, 36000001, 122400000]
    """
    minute = plan.at_minute
    if minute is None or minute_of_day(zone, started_at_ms) == minute:
        return started_at_ms
    return next_time_ms(zone, started_at_ms, minute)


def after_quiet(quiet: QuietHours | None, zone: str, at_ms: int) -> int:
    """Return a time, or when the quiet hours end that it is in; None: there are none.

    >>> night = QuietHours(from_minute=22 * 60, until_minute=8 * 60)
    >>> [after_quiet(night, "UTC", hour * 3_600_000) / 3_600_000 for hour in (23, 9)]
    [32.0, 9.0]
    """
    until_ms = quiet_until_ms(quiet, zone, at_ms)
    return at_ms if until_ms is None else until_ms
