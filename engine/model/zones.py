"""Time zones by their name."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import ZoneInfo

from tempogram.engine.model.errors import SettingsError


@lru_cache(maxsize=1_000)
def zone_of(name: str) -> ZoneInfo:
    """Return a time zone; all there are stay in memory, because ``ZoneInfo`` keeps eight and reads the others again.

    Raises:
        SettingsError: There is none of this name.

    >>> zone_of("Europe/Berlin").key
    'Europe/Berlin'
    >>> zone_of("Mars/Base")
    Traceback (most recent call last):
    tempogram.engine.model.errors.SettingsError: there is no time zone 'Mars/Base'; write it like Europe/Berlin
    """
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # ``ZoneInfoNotFoundError`` is a ``KeyError``
        raise SettingsError(f"there is no time zone {name[:64]!r}; write it like Europe/Berlin") from None
