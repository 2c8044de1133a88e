"""Times of a chat's own day: the time of day, quiet hours, the time zone."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from tempogram.api.schemas.base import RequestModel
from tempogram.engine.model.selection import AT_MINUTE_MAX, QuietHours
from tempogram.engine.selection.zones import is_zone

CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
UP_TO_ELEVEN_PM = r"^(([01]?[0-9]|2[0-2]):[0-5][0-9]|23:00)$"


def read_minute(value: object) -> int:
    """Return the minute of the day that a clock shows.

    >>> read_minute("22:00"), read_minute("8:30")
    (1320, 510)
    """
    if not isinstance(value, str) or (shown := CLOCK.fullmatch(value)) is None:
        raise ValueError("should be a time of day such as 22:00")
    return int(shown[1]) * 60 + int(shown[2])


def read_hour(minute: int) -> int:
    """Return the first minute of an hour in which chats are written to; the hour is all on one day."""
    if minute > AT_MINUTE_MAX:
        raise ValueError("should not be after 23:00, as chats are written to for an hour from then on")
    return minute


def clock_of(minute: int) -> str:
    """Return what a clock shows.

    >>> clock_of(510)
    '08:30'
    """
    return f"{minute // 60:02}:{minute % 60:02}"


def read_zone(value: object) -> str:
    if isinstance(value, str) and is_zone(value):
        return value
    raise ValueError("should be an IANA time zone such as Europe/Berlin")


Minute = Annotated[
    int,
    BeforeValidator(read_minute),
    WithJsonSchema({"type": "string", "pattern": f"^{CLOCK.pattern}$", "examples": ["22:00"]}),
]
Hour = Annotated[
    int,
    BeforeValidator(read_minute),
    AfterValidator(read_hour),
    WithJsonSchema({"type": "string", "pattern": UP_TO_ELEVEN_PM, "examples": ["16:00"]}),
]
Zone = Annotated[
    str, BeforeValidator(read_zone), WithJsonSchema({"type": "string", "examples": ["Europe/Berlin"], "maxLength": 64})
]


class QuietHoursIn(RequestModel):
    """Hours of the chat's local day in which nothing is sent of the bot's own accord; they may go over midnight."""

    from_minute: Minute = Field(alias="from")
    until_minute: Minute = Field(alias="until")

    @model_validator(mode="after")
    def _takes_time(self) -> Self:
        if self.from_minute == self.until_minute:
            raise ValueError("quiet hours should end at another time than they begin; null: there are none")
        return self

    def hours(self) -> QuietHours:
        return QuietHours(from_minute=self.from_minute, until_minute=self.until_minute)
