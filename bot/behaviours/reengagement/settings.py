"""What a bot's owner chooses of re-engagement, checked with one sentence for each mistake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tempogram.api.core.ports import Refusal
from tempogram.api.core.redaction import short
from tempogram.api.schemas.local_times import read_hour, read_minute
from tempogram.engine.model.messages import Guarantee
from tempogram.engine.model.selection import DEFAULT_ZONE, QuietHours, Rules, Selection
from tempogram.engine.selection.zones import is_zone

CAMPAIGN = "reengagement"

TEMPLATES = ("Hello {first_name}, I have not heard from you for a while. How are you?",)
"""The default templates."""

SYSTEM = "You write to a user of a chat. Be brief and friendly, and take up what you talked about."
"""The default system prompt."""

DAYS_MAX = 365
DAILY_CAP_MAX = 100
TEMPLATES_MAX = 100
TEMPLATE_CHARACTERS_MAX = 4_096
SYSTEM_CHARACTERS_MAX = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReengagementSettings:
    """See ``docs/reengagement.md``."""

    after_days: int = 7
    at_minute: int = 16 * 60
    zone: str = DEFAULT_ZONE
    templates: tuple[str, ...] = TEMPLATES
    system: str = SYSTEM
    quiet_hours: QuietHours | None = None
    daily_cap: int | None = None
    delivery: Guarantee = Guarantee.AT_MOST_ONCE

    def selection(self, bot_id: int) -> Selection:
        return Selection(bot_id=bot_id, wrote_days_ago=self.after_days)

    def rules(self, *, at_any_time: bool = False) -> Rules:
        """Return the rules; at any time: of all whose day it is, whatever the hour."""
        return Rules(
            campaign=CAMPAIGN,
            default_zone=self.zone,
            at_minute=None if at_any_time else self.at_minute,
            quiet_hours=self.quiet_hours,
            daily_cap=self.daily_cap,
            not_if_written_today=True,
        )


def parse(config: Mapping[str, Any]) -> ReengagementSettings:
    """Read the settings of a bot.

    Raises:
        Refusal: One sentence that names what is wrong.
    """
    read: dict[str, Any] = {}
    for name, value in config.items():
        if name not in _READERS:
            raise Refusal(f"{short(name)} is not a setting of reengagement; choose from {', '.join(_READERS)}")
        field, reader = _READERS[name]
        read[field] = reader(value)
    return ReengagementSettings(**read)


def check(config: Mapping[str, Any]) -> None:
    parse(config)


def minute_of_day(value: object, name: str) -> int:
    """Read a time of day, as minutes since 0:00.

    >>> minute_of_day("16:30", "at")
    990
    """
    try:
        return read_minute(value)
    except ValueError:
        raise Refusal(f'{name} of reengagement is {short(value)}; write a time of day as in "16:00"') from None


def _at(value: object) -> int:
    minute = minute_of_day(value, "at")
    try:
        return read_hour(minute)
    except ValueError as error:
        raise Refusal(f"at of reengagement is {short(value)}; it {error}") from None


def _whole_number(name: str, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise Refusal(f"{name} of reengagement is {short(value)}; it must be a whole number from 1 to {most}")
        return value

    return read


def _zone(value: object) -> str:
    if not isinstance(value, str) or not is_zone(value):
        raise Refusal(
            f"zone of reengagement is {short(value)}, which is no time zone; use a name such as Europe/Berlin"
        )
    return value


def _templates(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= TEMPLATES_MAX:
        raise Refusal(f"templates of reengagement must be a list of 1 to {TEMPLATES_MAX} texts")
    for template in value:
        if not isinstance(template, str) or not 0 < len(template.strip()) <= TEMPLATE_CHARACTERS_MAX:
            raise Refusal(
                f"a template of reengagement is {short(template)}; it must be a text of 1 to "
                f"{TEMPLATE_CHARACTERS_MAX:,} characters"
            )
    return tuple(value)


def _system(value: object) -> str:
    if not isinstance(value, str) or len(value) > SYSTEM_CHARACTERS_MAX:
        raise Refusal(f"system of reengagement must be a text of at most {SYSTEM_CHARACTERS_MAX:,} characters")
    return value


def _quiet_hours(value: object) -> QuietHours | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or set(value) != {"from", "until"}:
        raise Refusal('quiet_hours of reengagement must be as in {"from": "22:00", "until": "08:00"}')
    begin, end = (minute_of_day(value[name], f"{name} in quiet_hours") for name in ("from", "until"))
    if begin == end:
        raise Refusal("quiet_hours of reengagement begin when they end; leave them out for none")
    return QuietHours(from_minute=begin, until_minute=end)


def _delivery(value: object) -> Guarantee:
    known = {each.value: each for each in Guarantee}
    if not isinstance(value, str) or value not in known:
        raise Refusal(f"delivery of reengagement is {short(value)}; choose from {', '.join(known)}")
    return known[value]


_READERS: Mapping[str, tuple[str, Callable[[object], Any]]] = {
    "after_days": ("after_days", _whole_number("after_days", DAYS_MAX)),
    "at": ("at_minute", _at),
    "zone": ("zone", _zone),
    "templates": ("templates", _templates),
    "system": ("system", _system),
    "quiet_hours": ("quiet_hours", _quiet_hours),
    "daily_cap": ("daily_cap", _whole_number("daily_cap", DAILY_CAP_MAX)),
    "delivery": ("delivery", _delivery),
}
