"""What day it is for the chats of a bot, zone by zone: some hundred rows, with which a query joins the chats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from sqlalchemy import BigInteger, Column, Integer, Select, Text, bindparam, func, select

from tempogram.engine.model.selection import Rules, Selection
from tempogram.engine.selection.days import local_day, minute_of_day
from tempogram.engine.selection.zones import is_zone
from tempogram.storage.database.json_rows import as_json
from tempogram.storage.database.models import chats

UNKNOWN = ""
"""The zone of chats that have none."""

ZONES_MAX = 2_000
"""Of one bot; there are some 600."""

HOUR = 60
"""Minutes."""

NEVER_MS = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneDay:
    """What day it is in a zone.

    Attributes:
        zone: As it stands in ``chats``.
        place: The zone itself: the default for one that is not known.
        on: The date.
        next_on: The date after it.
        minute: Of the day.
        wrote_from_ms: When the day of ``Selection.wrote_days_ago`` begins.
        wrote_until_ms: When it ends.
        active_from_ms: When the first of ``Selection.active_days`` begins.
        quiet_before_ms: When the first of ``Selection.quiet_days`` begins.
    """

    zone: str
    place: str
    on: str
    next_on: str
    minute: int
    starts_ms: int
    ends_ms: int
    next_ends_ms: int
    wrote_from_ms: int
    wrote_until_ms: int
    active_from_ms: int
    quiet_before_ms: int


TEXTS = frozenset({"zone", "place", "on", "next_on"})

COLUMNS = [
    Column(each.name, Text if each.name in TEXTS else Integer if each.name == "minute" else BigInteger)
    for each in fields(ZoneDay)
]


def zones_of_bot() -> Select[str]:
    """Select the zones that chats of a bot have: a look into the index for each, and not a scan."""
    of_bot = bindparam("bot_id", type_=chats.c.bot_id.type)
    later = chats.alias("later")
    first = select(func.min(chats.c.time_zone).label("zone")).where(chats.c.bot_id == of_bot)
    found = first.cte("found", recursive=True)
    following = select(func.min(later.c.time_zone)).where(later.c.bot_id == of_bot, later.c.time_zone > found.c.zone)
    found = found.union_all(select(following.scalar_subquery()).where(found.c.zone.is_not(None)))
    return select(found.c.zone).where(found.c.zone.is_not(None)).limit(ZONES_MAX)


def due_zones(names: Iterable[str], selection: Selection, rules: Rules, *, now_ms: int) -> dict[str, ZoneDay]:
    """Return the zones in which a campaign is due now, with that of chats without any."""
    places = {name: name if is_zone(name) else rules.default_zone for name in (*names, UNKNOWN)}
    days = (_zone_day(zone, place, selection, rules.at_minute, now_ms) for zone, place in places.items())
    return {day.zone: day for day in days if day is not None}


def zones_as_json(days: Iterable[ZoneDay]) -> str:
    names = [column.name for column in COLUMNS]
    return as_json(COLUMNS, [[getattr(day, name) for name in names] for day in days])


def _zone_day(zone: str, place: str, selection: Selection, at_minute: int | None, now_ms: int) -> ZoneDay | None:
    minute = minute_of_day(place, now_ms)
    if at_minute is not None and not at_minute <= minute < at_minute + HOUR:
        return None
    today, tomorrow = local_day(place, now_ms), local_day(place, now_ms, days_ago=-1)
    wrote = local_day(place, now_ms, days_ago=selection.wrote_days_ago or 0)
    return ZoneDay(
        zone=zone,
        place=place,
        on=today.date.isoformat(),
        next_on=tomorrow.date.isoformat(),
        minute=minute,
        starts_ms=today.starts_ms,
        ends_ms=today.ends_ms,
        next_ends_ms=tomorrow.ends_ms,
        wrote_from_ms=wrote.starts_ms,
        wrote_until_ms=wrote.ends_ms,
        active_from_ms=_starts_ms(place, now_ms, selection.active_days),
        quiet_before_ms=_starts_ms(place, now_ms, selection.quiet_days),
    )


def _starts_ms(zone: str, now_ms: int, days_ago: int | None) -> int:
    return NEVER_MS if days_ago is None else local_day(zone, now_ms, days_ago=days_ago).starts_ms
