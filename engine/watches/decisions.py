"""What each preset costs and gives for one's own numbers, as a table to decide by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tempogram.engine.model.watches import HOUR_MS, SHIPPED_PLANS, Preset, WatchRules
from tempogram.engine.watches.simulation import Measured, Numbers, simulate

STANDARD, FREE, PAID = SHIPPED_PLANS

GROWN = 2
"""A preset scales if so many times the users and items stay within the budget, and what they see is no older."""

GROWN_DAYS = 2
"""That is measured for as many days only, as it takes longest."""

OLDER = 1.25
"""So much older is older. untuned: the chance of a simulated week moves it by less than a tenth."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A preset, what came of it, and whether it scales."""

    name: str
    measured: Measured
    share: float
    scales: bool


def decisions(numbers: Numbers, rules: WatchRules) -> Iterator[Decision]:
    """Simulate each preset, one after the other."""
    for name, preset, slot_ms, plans in CASES:
        of = replace(rules, preset=preset, slot_ms=slot_ms)
        now = simulate(numbers, of, plans)
        more = replace(numbers, items=GROWN * numbers.items, users=GROWN * numbers.users, days=GROWN_DAYS)
        grown = simulate(more, of, plans)
        yield Decision(name, now, now.most_in_a_day / numbers.budget, _scales(now, grown))


CASES = (
    ("spread, 24 slots", Preset.SPREAD, HOUR_MS, (STANDARD, STANDARD)),
    ("spread, 6 slots", Preset.SPREAD, 4 * HOUR_MS, (STANDARD, STANDARD)),
    ("viewed", Preset.VIEWED, HOUR_MS, (STANDARD, STANDARD)),
    ("on demand", Preset.ON_DEMAND, HOUR_MS, (STANDARD, STANDARD)),
    ("priority", Preset.PRIORITY, HOUR_MS, (STANDARD, STANDARD)),
    ("by user, standard", Preset.BY_USER, HOUR_MS, (STANDARD, STANDARD)),
    ("by user, free/paid", Preset.BY_USER, HOUR_MS, (FREE, PAID)),
)


def _scales(now: Measured, grown: Measured) -> bool:
    """Tell whether twice as much fits: nothing is late, and what users see is not older."""
    is_older = grown.viewed_median_h > OLDER * max(1.0, now.viewed_median_h)
    return not grown.is_late and not is_older
