"""How long, and when, in words."""

from __future__ import annotations

from datetime import UTC, datetime


def in_words(ms: int) -> str:
    """Return a duration as a person says it: its two largest units.

    >>> [in_words(seconds * 1_000) for seconds in (0, 59, 60, 754, 7_200, 7_500, 187_200)]
    ['0 s', '59 s', '1 min', '12 min', '2 h', '2 h 5 min', '2 d 4 h']
    """
    seconds = max(0, ms) // 1_000
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def moment(at_ms: int) -> str:
    """Return a time in UTC, for a person.

    >>> moment(1_700_000_000_000)
    '2023-11-14 22:13 UTC'
    """
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")
