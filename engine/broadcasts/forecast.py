"""When the last message of a broadcast arrives, as far as limits and what waits now can tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tempogram.engine.broadcasts.due import begins_ms
from tempogram.engine.limits.limits import Limit, Limits
from tempogram.engine.model.broadcasts import Plan
from tempogram.engine.ports.broker import QueueStats
from tempogram.engine.selection.quiet import quiet_until_ms
from tempogram.engine.selection.zones import is_zone

USED = 0.96
"""The share of a limit that is used: a place is also taken while its call is under way. untuned: 97 % are promised, and
a busy machine has somewhat less."""

SPREAD_STEPS = 100
"""Into how many arrivals a spread is cut."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """So many recipients are due at a time."""

    at_ms: int
    recipients: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast a bot's messages leave.

    Attributes:
        per_s: Messages a second; 0: no limit that is known here.
        slot_ms: How long an urgent message waits at most because of others: until the next place is free.
    """

    per_s: float
    slot_ms: int


def rate_of(limits: Limits, stats: QueueStats, bot_id: int, *, is_paid: bool) -> Rate:
    """Return the pace of a bot, which shares the ceiling evenly with the other bots of which something waits."""
    bot = limits.paid if is_paid else limits.bot
    others = sum(1 for other, waiting in stats.bots.items() if other != bot_id and waiting)
    paces = [pace for pace in (_per_s(bot), _per_s(limits.ceiling) / (1 + others)) if pace]
    slots = [limit.window_ms // limit.count for limit in (bot, limits.ceiling) if limit.count]
    return Rate(per_s=min(paces, default=0.0), slot_ms=max(slots, default=0))


def _per_s(limit: Limit) -> float:
    return limit.count * 1_000 / limit.window_ms * USED


def ends_ms(arrivals: Iterable[Arrival], rate: Rate, *, before: float, now_ms: int) -> int:
    """Return when the last of these has left, behind ``before`` messages that leave first.

    >>> slow = Rate(per_s=10, slot_ms=100)
    >>> ends_ms([Arrival(0, 100)], slow, before=50, now_ms=0), ends_ms([Arrival(60_000, 1)], slow, before=50, now_ms=0)
    (15000, 60100)
    """
    free_ms = now_ms + _takes_ms(before, rate)
    for arrival in sorted(arrivals, key=lambda each: each.at_ms):
        free_ms = max(free_ms, arrival.at_ms) + _takes_ms(arrival.recipients, rate)
    return round(free_ms)


def arrivals_of(
    plan: Plan, recipients: int, zones: Mapping[str | None, int], *, started_at_ms: int
) -> Iterator[Arrival]:
    """Say when how many recipients are due, if their time zones are those of all chats of the bot."""
    total = sum(zones.values()) or 1
    shares = zones or {None: 1}
    for name, chats in shares.items():
        zone = name if name is not None and is_zone(name) else plan.default_zone
        of_zone = recipients * chats / total
        for due_ms, share in _spread(plan, begins_ms(plan, zone, started_at_ms)):
            yield Arrival(quiet_until_ms(plan.quiet_hours, zone, due_ms) or due_ms, of_zone * share)


def _spread(plan: Plan, at_ms: int) -> Iterator[tuple[int, float]]:
    if not plan.spread_ms:
        yield at_ms, 1.0
        return
    for step in range(1, SPREAD_STEPS + 1):
        yield at_ms + plan.spread_ms * step // SPREAD_STEPS, 1 / SPREAD_STEPS


def _takes_ms(recipients: float, rate: Rate) -> float:
    return recipients * 1_000 / rate.per_s if rate.per_s else 0.0
