"""Cron in every time zone, against a reference that goes through all minutes one by one.

    python -m tests.engine.scheduler.zones            every zone, two years; zones with the same clock are tried once

The reference has the rules of Debian's cron: with ``*`` for the minute or the hour a job is due in each minute that
matches the wall clock; any other is due once for each wall time, where that is skipped at the jump, and where it comes
twice at the first.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from tempogram.engine.scheduler.times import Cron

EXPRESSIONS = ("30 2 * * *", "0 0 * * *", "*/20 * * * *", "15 * * * MON", "59 1,2,3 * * *", "0 3 29 2 *", "5 0 1 1,7 *")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2028, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

REMEMBERED = timedelta(hours=26)
"""How far back a wall time may have come before: no clock was ever turned back by more."""


def zones() -> list[str]:
    """Return a name for each way in which a clock goes through these years."""
    by_clock = {clock(ZoneInfo(name)): name for name in sorted(available_timezones(), reverse=True)}
    return sorted(by_clock.values())


def clock(zone: ZoneInfo) -> tuple[timedelta | None, ...]:
    hours = int((END - BEGIN) / timedelta(hours=1))
    return tuple((BEGIN + timedelta(hours=hour)).astimezone(zone).utcoffset() for hour in range(-1, hours, 1))


def reference(expression: str, zone: str) -> list[int]:
    """Return when a job is due, in milliseconds, by going through every minute."""
    fields = expression.split()
    minutes, hours, days, months, weekdays = (
        frozenset(_values(field, numbers)) for field, numbers in zip(fields, RANGES, strict=True)
    )
    any_day = fields[2] == "*" or fields[4] == "*"
    is_wild = fields[0].startswith("*") or fields[1].startswith("*")

    def matches(wall: datetime) -> bool:
        if wall.minute not in minutes or wall.hour not in hours or wall.month not in months:
            return False
        of_month, of_week = wall.day in days, wall.isoweekday() % 7 in weekdays
        return (of_month and of_week) if any_day else (of_month or of_week)

    due: list[int] = []
    furthest: datetime | None = None
    for instant, wall in walls(zone):
        is_due = matches(wall)
        if not is_wild and furthest is not None:
            if wall <= furthest:
                is_due = False
            else:
                skipped = int((wall - furthest) / MINUTE) - 1
                is_due = is_due or any(matches(furthest + MINUTE * number) for number in range(1, skipped + 1))
        furthest = wall if furthest is None else max(furthest, wall)
        if is_due and instant >= BEGIN:
            due.append(int(instant.timestamp()) * 1_000)
    return due


@lru_cache(maxsize=1)
def walls(zone: str) -> list[tuple[datetime, datetime]]:
    """Return each minute, and what the wall clock shows then."""
    place = ZoneInfo(zone)
    instants = (BEGIN - REMEMBERED + MINUTE * number for number in range(int((END - BEGIN + REMEMBERED) / MINUTE)))
    return [(instant, instant.astimezone(place).replace(tzinfo=None)) for instant in instants]


RANGES = (range(60), range(24), range(1, 32), range(1, 13), range(7))
NAMES = {"MON": "1"}


def _values(field: str, numbers: range) -> Sequence[int]:
    if field == "*":
        return numbers
    if field.startswith("*/"):
        return numbers[:: int(field[2:])]
    return [int(NAMES.get(word, word)) for word in field.split(",")]


def due_times(expression: str, zone: str) -> list[int]:
    """Return when a job is due by ours, in milliseconds."""
    cron, found = Cron(expression, zone), []
    at_ms: int | None = int(BEGIN.timestamp()) * 1_000 - 1
    while at_ms is not None and (at_ms := cron.due_after(at_ms, anchor_ms=0)) is not None:
        if at_ms >= int(END.timestamp()) * 1_000:
            break
        found.append(at_ms)
    return found


def differences(expression: str, zone: str) -> list[str]:
    ours, theirs = set(due_times(expression, zone)), set(reference(expression, zone))
    return [
        f"{expression} in {zone}: {'only ours' if ms in ours else 'only the reference'} is due at "
        f"{datetime.fromtimestamp(ms / 1_000, UTC).isoformat()}"
        for ms in sorted(ours ^ theirs)
    ]


def main() -> None:
    tried, found = zones(), list[str]()
    for number, zone in enumerate(tried, 1):
        for expression in EXPRESSIONS:
            found += differences(expression, zone)
        sys.stdout.write(f"\r{number} of {len(tried)} clocks, {len(found)} differences")
        sys.stdout.flush()
    names = len(available_timezones())
    sys.stdout.write(f"\n{names} zones have {len(tried)} clocks; {len(EXPRESSIONS)} expressions, two years\n")
    for line in found[:20]:
        sys.stdout.write(f"  {line}\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
