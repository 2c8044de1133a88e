"""When only what is urgent is said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

from tempogram.engine.model.errors import SettingsError

FORM = re.compile(r"(\d{1,2}):(\d{2}) *- *(\d{1,2}):(\d{2})")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From one time of the day until another, by the clocks of a zone; it may pass midnight.

    >>> quiet = QuietHours(time(22), time(7), ZoneInfo("UTC"))
    >>> [quiet.hold_at(hours * 3_600_000) for hours in (0, 6, 7, 12, 22, 23)]
    [True, True, False, False, True, True]
    """

    begin: time
    end: time
    zone: ZoneInfo

    def hold_at(self, at_ms: int) -> bool:
        local = datetime.fromtimestamp(at_ms / 1_000, UTC).astimezone(self.zone).time()
        if self.begin < self.end:
            return self.begin <= local < self.end
        return local >= self.begin or local < self.end


def parse(text: str, zone: ZoneInfo) -> QuietHours | None:
    """Read quiet hours such as ``22:00-07:00``; empty: there are none.

    Raises:
        SettingsError: They are written otherwise, or have no length.
    """
    if not text.strip():
        return None
    if (form := FORM.fullmatch(text.strip())) is None:
        raise SettingsError(f"{text!r} are no quiet hours; write them as in 22:00-07:00")
    try:
        begin, end = time(int(form[1]), int(form[2])), time(int(form[3]), int(form[4]))
    except ValueError:
        raise SettingsError(f"{text!r} has a time that no clock shows; write quiet hours as in 22:00-07:00") from None
    if begin == end:
        raise SettingsError(f"{text!r} begins when it ends; leave it out for no quiet hours")
    return QuietHours(begin, end, zone)
