"""Until when a chat is not notified, because it is night there."""

from __future__ import annotations

from datetime import datetime, timedelta

from tempogram.engine.model.selection import DEFAULT_ZONE
from tempogram.engine.model.watches import Waiting
from tempogram.engine.model.zones import zone_of
from tempogram.engine.selection.days import minute_of_day
from tempogram.engine.selection.quiet import is_quiet


def quiet_until_ms(waiting: Waiting, now_ms: int) -> int | None:
    """Return when the quiet hours of a chat end; None: it is not in them.

    >>> from tempogram.engine.model.watches import Subscriber
    >>> anna = Waiting(to=Subscriber(1, 7), may_be_written=True, zone="UTC", quiet_from=22 * 60, quiet_until=8 * 60)
    >>> quiet_until_ms(anna, 23 * 3_600_000) // 3_600_000, quiet_until_ms(anna, 12 * 3_600_000)
    (32, None)
    """
    begin, end, zone = waiting.quiet_from, waiting.quiet_until, waiting.zone or DEFAULT_ZONE
    if begin is None or end is None:
        return None
    if not is_quiet(minute_of_day(zone, now_ms), from_minute=begin, until_minute=end):
        return None
    return _next_ms(zone, now_ms, end)


def _next_ms(zone: str, now_ms: int, minute: int) -> int:
    """Return when the clock on the wall next shows a minute of the day."""
    now = datetime.fromtimestamp(now_ms / 1_000, zone_of(zone))
    then = now.replace(hour=minute // 60 % 24, minute=minute % 60, second=0, microsecond=0)
    if then <= now:
        then += timedelta(days=1)
    return max(now_ms + 1, round(then.timestamp() * 1_000))
