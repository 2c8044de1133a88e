"""When each recipient of a broadcast is due: at once, at a time of its own day, spread over hours."""

from __future__ import annotations

from zlib import crc32

from tempogram.engine.model.broadcasts import Addressee, Plan
from tempogram.engine.model.selection import Recipient
from tempogram.engine.selection.days import local_day, minute_of_day
from tempogram.engine.selection.quiet import next_time_ms, quiet_until_ms
from tempogram.engine.selection.zones import is_zone

SHARES = 1 << 32
"""Of the time over which chats are spread; each has one by the hash of its id."""


def due_ms(plan: Plan, recipient: Recipient, *, started_at_ms: int) -> int:
    """Return when a recipient is due.

    Quiet hours are its own, or else the plan's, as they are when it is selected.
    """
    at_ms = begins_ms(plan, recipient.zone, started_at_ms)
    at_ms += crc32(str(recipient.chat_id).encode()) * plan.spread_ms // SHARES
    at_ms = max(at_ms, recipient.not_before_ms or 0)
    return quiet_until_ms(recipient.quiet_hours or plan.quiet_hours, recipient.zone, at_ms) or at_ms


def held_until_ms(plan: Plan, addressee: Addressee, *, now_ms: int) -> int | None:
    """Return when the quiet hours end that a recipient is in now, its own or else the plan's; None: it is in none.

    They are decided when it is gathered and again when its message is submitted: a backlog, a pause or a retry may
    have lasted until the night, and a chat's hours and zone may have changed.
    """
    return quiet_until_ms(addressee.quiet_hours or plan.quiet_hours, zone_for(plan, addressee), now_ms)


def recipient_on(plan: Plan, addressee: Addressee, *, now_ms: int) -> Recipient:
    """Return a recipient on its local date, as it is claimed."""
    day = local_day(zone_for(plan, addressee), now_ms)
    return Recipient(
        chat_id=addressee.to,
        zone=day.zone,
        local_date=day.date.isoformat(),
        not_before_ms=None,
        day_ends_ms=day.ends_ms,
    )


def zone_for(plan: Plan, addressee: Addressee) -> str:
    """Return a recipient's time zone, or that of those whose zone is not known."""
    return addressee.zone if addressee.zone is not None and is_zone(addressee.zone) else plan.default_zone


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
