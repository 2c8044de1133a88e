"""A week of a preset in virtual time: how many calls it makes, and how old what is known of items is.

Items are watched by users, who view them; each hour is a step: what is due is asked for, one call after the other, at
the pace of the preset and within the budget, and then what was viewed in that hour is noted. Which items are due is
decided as ``storage.watches.due`` decides it; a test compares the two.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import islice
from statistics import median

from tempogram.engine.model.watches import DAY_MS, HOUR_MS, PHASES, Item, Plan, Preset, WatchRules
from tempogram.engine.watches.slots import last_due_ms, phase_of, slot_of

WARM_UP_DAYS = 7
"""Before the week that is measured: what is known in the beginning is of no preset."""

SAMPLE = 1_000
"""Medians are those of so many items, by chance: every so-maniest could be the first of each user, which it views most.
untuned: they differ by some percent from those of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """One's own numbers.

    Attributes:
        budget: Calls of the service that are allowed in 24 hours.
        views: Items that an active user views a day.
        active: Share of users that are active; the others view nothing.
        paid: Share of users that pay, for the plans of ``by_user``.
        seed: Of chance.
    """

    items: int = 50_000
    users: int = 1_000
    budget: int = 60_000
    views: float = 5.0
    active: float = 0.7
    paid: float = 0.1
    days: int = 7
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of a preset.

    Attributes:
        calls: On each day.
        most_in_a_day: In any 24 hours.
        ages_h: Median age in hours of what is known of items, at the end of each hour.
        median_h: Of all items, over the whole week.
        worst_h: Of any item at any hour.
        viewed_median_h: Of the items that were viewed, at that moment.
        viewed_worst_h: The oldest that a user saw.
        is_late: At the end of some slot not everything that was due had been asked for.
    """

    preset: Preset
    slots: int
    calls: tuple[int, ...]
    most_in_a_day: int
    ages_h: tuple[float, ...]
    median_h: float
    worst_h: float
    viewed_median_h: float
    viewed_worst_h: float
    is_late: bool

    @property
    def calls_a_day(self) -> float:
        return sum(self.calls) / len(self.calls)


@dataclass(slots=True)
class _World:
    """All items, as columns: a week of 50,000 of them is some seconds."""

    numbers: Numbers
    rules: WatchRules
    plans: tuple[Plan, Plan]
    checked: list[int] = field(default_factory=list)
    viewed: list[int] = field(default_factory=list)
    attempted: list[int] = field(default_factory=list)
    priority: list[int] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    of_users: list[list[int]] = field(default_factory=list)
    plan_of_item: list[Plan | None] = field(default_factory=list)
    watched: list[int] = field(default_factory=list)


def simulate(numbers: Numbers, rules: WatchRules, plans: tuple[Plan, Plan]) -> Measured:
    """Return what a week of a preset brings.

    Args:
        numbers: One's own.
        rules: With the preset.
        plans: Of users that do not pay, and of those that do.
    """
    world = _world(numbers, rules, plans)
    return _Week(world).run()


class _Week:
    """One simulated week, after the warm-up."""

    def __init__(self, world: _World) -> None:
        self._world = world
        self._chance = random.Random(world.numbers.seed + 1)  # noqa: S311 - a simulation
        self._made: deque[int] = deque()
        self._free_at_ms = 0
        self._is_late = False
        self._most = 0
        self._calls: list[int] = []
        self._seen: list[int] = []

    def run(self) -> Measured:
        world, begins_ms = self._world, WARM_UP_DAYS * DAY_MS
        ends_ms = begins_ms + world.numbers.days * DAY_MS
        medians: list[float] = []
        worst, sample = 0, list[int]()
        of_its_own = random.Random(world.numbers.seed + 2)  # noqa: S311 - a simulation
        some = of_its_own.sample(world.watched, min(SAMPLE, len(world.watched)))
        for hour_ms in range(0, ends_ms, HOUR_MS):
            if hour_ms == begins_ms:
                self._calls, self._seen, self._most, self._is_late = [], [], 0, False
            if hour_ms % DAY_MS == 0:
                self._calls.append(0)
                self._decay()
            self._check(hour_ms)
            self._view(hour_ms)
            if hour_ms >= begins_ms:
                ages = [hour_ms + HOUR_MS - world.checked[item] for item in some]
                medians.append(median(ages or [0]))
                sample += ages
                oldest_ms = min((world.checked[item] for item in world.watched), default=hour_ms)
                worst = max(worst, hour_ms + HOUR_MS - oldest_ms)
        return Measured(
            preset=world.rules.preset,
            slots=DAY_MS // world.rules.slot_ms,
            calls=tuple(self._calls),
            most_in_a_day=self._most,
            ages_h=tuple(each / HOUR_MS for each in medians),
            median_h=median(sample or [0]) / HOUR_MS,
            worst_h=worst / HOUR_MS,
            viewed_median_h=median(self._seen or [0]) / HOUR_MS,
            viewed_worst_h=max(self._seen, default=0) / HOUR_MS,
            is_late=self._is_late,
        )

    def _check(self, hour_ms: int) -> None:
        """Ask for what is due in this hour, as far as pace and budget allow."""
        is_end_of_slot = (hour_ms + HOUR_MS) % self._world.rules.slot_ms == 0
        for item in due_now(self._world, hour_ms):
            at_ms = self._next_place(hour_ms)
            if at_ms >= hour_ms + HOUR_MS:
                self._is_late = self._is_late or is_end_of_slot
                return
            self._ask(item, at_ms)

    def _next_place(self, from_ms: int) -> int:
        """Return when the next call may begin."""
        numbers, at_ms = self._world.numbers, max(from_ms, self._free_at_ms)
        self._forget_before(at_ms - DAY_MS)
        if len(self._made) >= numbers.budget:
            return self._made[len(self._made) - numbers.budget] + DAY_MS
        return at_ms

    def _ask(self, item: int, at_ms: int) -> None:
        world = self._world
        self._forget_before(at_ms - DAY_MS)
        self._made.append(at_ms)
        self._most = max(self._most, len(self._made))
        self._free_at_ms = at_ms + world.rules.pause_ms
        world.checked[item] = world.attempted[item] = at_ms
        self._calls[-1] += 1

    def _forget_before(self, ms: int) -> None:
        """Forget calls that count no more."""
        while self._made and self._made[0] <= ms:
            self._made.popleft()

    def _view(self, hour_ms: int) -> None:
        """Note what is viewed in an hour; on demand, what is too old is asked for at that moment."""
        world, rules = self._world, self._world.rules
        for at_ms, item in self._views(hour_ms):
            world.viewed[item] = at_ms
            world.priority[item] += 1
            if rules.preset is Preset.ON_DEMAND and world.checked[item] <= at_ms - rules.cache_ms:
                place_ms = self._next_place(at_ms)
                if place_ms < at_ms + HOUR_MS:
                    self._ask(item, place_ms)
            self._seen.append(max(0, at_ms - world.checked[item]))

    def _views(self, hour_ms: int) -> list[tuple[int, int]]:
        """Return who looks at what in an hour: a user mostly at its first items."""
        numbers, chance = self._world.numbers, self._chance
        active = self._world.of_users[: round(numbers.users * numbers.active)]
        expected = len(active) * numbers.views / 24
        count = int(expected) + (chance.random() < expected % 1)
        if not active:
            return []
        owners = (chance.choice(active) for _ in range(count))
        viewed = (items[int(len(items) * chance.random() ** 3)] for items in owners if items)
        return sorted((hour_ms + chance.randrange(HOUR_MS), item) for item in viewed)

    def _decay(self) -> None:
        self._world.priority = [max(1, each - 1) for each in self._world.priority]


def due_now(world: _World, now_ms: int) -> Sequence[int]:
    """Return the items that are due, those first that come first."""
    match world.rules.preset:
        case Preset.SPREAD:
            return _oldest(world, _past_slot(world, now_ms))
        case Preset.VIEWED:
            since_ms = now_ms - world.rules.viewed_ms
            viewed = [item for item in _past_slot(world, now_ms) if 0 < world.viewed[item] >= since_ms]
            return sorted(viewed, key=lambda item: -world.viewed[item])
        case Preset.PRIORITY:
            rest = (item for item in world.watched if world.attempted[item] < now_ms)
            return nsmallest(
                world.rules.hourly_max, rest, key=lambda item: (-world.priority[item], world.checked[item])
            )
        case Preset.BY_USER:
            return _by_user(world, now_ms)
        case Preset.ON_DEMAND:
            return ()


def _oldest(world: _World, items: Iterable[int]) -> list[int]:
    return sorted(items, key=world.checked.__getitem__)


def _past_slot(world: _World, now_ms: int) -> list[int]:
    lasts = _last_due(world.rules, now_ms, DAY_MS)
    return [item for item in world.watched if world.checked[item] < lasts[world.slots[item]]]


def _by_user(world: _World, now_ms: int) -> list[int]:
    """Return what is due by the plan of an active user; items of plans of a higher priority come first."""
    due: list[int] = []
    for plan in sorted(set(world.plans), key=lambda plan: -plan.priority):
        lasts = _last_due(world.rules, now_ms, plan.interval_ms)
        of_plan = (item for item in world.watched if world.plan_of_item[item] is plan)
        due += _oldest(world, [item for item in of_plan if world.checked[item] < lasts[world.slots[item]]])
    return due


def _last_due(rules: WatchRules, now_ms: int, interval_ms: int) -> list[int]:
    """Return when each slot of an interval was last due."""
    slots = interval_ms // rules.slot_ms
    phases = (-(-slot * PHASES // slots) for slot in range(slots))
    return [last_due_ms(each, now_ms, interval_ms=interval_ms, slot_ms=rules.slot_ms) for each in phases]


def _world(numbers: Numbers, rules: WatchRules, plans: tuple[Plan, Plan]) -> _World:
    chance = random.Random(numbers.seed)  # noqa: S311 - a simulation
    count = numbers.items
    world = _World(
        numbers=numbers,
        rules=rules,
        plans=plans,
        checked=[-chance.randrange(1, DAY_MS) for _ in range(count)],
        viewed=[0] * count,
        attempted=[-DAY_MS] * count,
        priority=[1] * count,
        plan_of_item=[None] * count,
    )
    _share_out(world, chance)
    for item, plan in enumerate(world.plan_of_item):
        interval_ms = plan.interval_ms if plan is not None and rules.preset is Preset.BY_USER else DAY_MS
        phase = phase_of(Item("simulated", str(item)))
        world.slots.append(slot_of(phase, interval_ms=interval_ms, slot_ms=rules.slot_ms))
    return world


def _share_out(world: _World, chance: random.Random) -> None:
    """Let each item be watched by one user, as many as its plan allows; the others are watched by none."""
    numbers, is_by_user = world.numbers, world.rules.preset is Preset.BY_USER
    each = max(1, -(-numbers.items // max(1, numbers.users)))
    items = iter(range(numbers.items))
    world.of_users = [[] for _ in range(numbers.users)]
    paying = {user for user in range(numbers.users) if chance.random() < numbers.paid}
    active = round(numbers.users * numbers.active)
    for user in range(numbers.users):
        plan = world.plans[user in paying]
        most = min(each, plan.items_max) if is_by_user else each
        owned = world.of_users[user] = list(islice(items, each))[:most]
        world.watched += owned
        if user < active:
            for item in owned:
                world.plan_of_item[item] = plan
