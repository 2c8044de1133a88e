"""Adds up what tasks will call, and says which budgets they exceed and what interval would fit, before it happens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

from tempogram.engine.scheduler.task import Task
from tempogram.engine.scheduler.times import Cron, Every

DAY_MS = 86_400_000

ROUND_S = 10
"""Intervals are suggested in steps of so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many calls a service allows of an operation.

    Attributes:
        name: ``x:mentions``.
    """

    name: str
    count: int
    window_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one task takes of a budget.

    Attributes:
        calls: In a window of the budget, at its shortest interval.
        calls_max: If each run fails, and uses all its retries.
        fits_s: Interval at which all tasks of the budget would fit, if each were stretched alike; 0: it is due by cron.
    """

    task: str
    interval_s: float
    calls: Fraction
    calls_max: Fraction
    fits_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A budget with all that its tasks take of it."""

    budget: Budget
    shares: tuple[Share, ...]

    @property
    def calls(self) -> Fraction:
        return sum((share.calls for share in self.shares), Fraction(0))

    @property
    def calls_max(self) -> Fraction:
        return sum((share.calls_max for share in self.shares), Fraction(0))

    @property
    def holds(self) -> bool:
        return self.calls <= self.budget.count

    @property
    def same_interval_s(self) -> int:
        """Return the interval that would fit if all tasks had the same; 0: a cron alone takes too much."""
        by_interval = [share for share in self.shares if share.fits_s]
        fixed = sum((share.calls for share in self.shares if not share.fits_s), Fraction(0))
        calls_a_run = sum((share.calls * Fraction(share.interval_s) for share in by_interval), Fraction(0))
        left = self.budget.count - fixed
        return _rounded_s(calls_a_run / left) if left > 0 else 0


def plan(tasks: Iterable[Task], budgets: Mapping[str, Budget]) -> list[Planned]:
    """Return each budget that tasks use, with what each of them takes.

    A use of an operation (``x:mentions``) takes of the budget of its service (``x``), too, if that has one. What a task
    uses that is no budget is left out: it has no count in a window.
    """
    users: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        for name in dict.fromkeys(name for used in task.uses for name in _budgets_of(used)):
            if name in budgets:
                users[name].append(task)
    return [_planned(budgets[name], of_budget) for name, of_budget in sorted(users.items())]


def sentence(planned: Planned) -> str:
    """Say in one line whether a budget holds, and what to do if not.

    >>> tasks = [Task(name=name, times=Every(ms), work=print, uses={"x:tweet_lookup": 1})
    ...          for name, ms in (("validate", 60_000), ("sweep", 90_000))]
    >>> sentence(plan(tasks, {"x:tweet_lookup": Budget(name="x:tweet_lookup", count=15, window_ms=900_000)})[0])
    'x:tweet_lookup: 25 calls in 15 min, but 15 are allowed (validate 15, sweep 10); 120 s each fit, or 100 s and 150 s'
    """
    budget, shares = planned.budget, planned.shares
    each = ", ".join(f"{share.task} {_number(share.calls)}" for share in shares)
    head = f"{budget.name}: {_number(planned.calls)} calls in {_span(budget.window_ms)}"
    if planned.holds:
        most = planned.calls_max
        retried = f"; with all retries {_number(most)}, which is too many" if most > budget.count else ""
        return f"{head} of the {budget.count} that are allowed ({each}){retried}"
    same_s = planned.same_interval_s
    if not same_s:
        return f"{head}, but {budget.count} are allowed ({each}); let them run less often"
    fitting = " and ".join(f"{share.fits_s} s" for share in shares if share.fits_s)
    ways = f"{same_s} s each fit, or {fitting}" if len(shares) > 1 else f"{same_s} s fit"
    return f"{head}, but {budget.count} are allowed ({each}); {ways}"


def _planned(budget: Budget, tasks: list[Task]) -> Planned:
    calls = [_calls(task, budget) for task in tasks]
    factor = max(Fraction(1), sum(calls, Fraction(0)) / budget.count)
    shares = tuple(
        Share(
            task=task.name,
            interval_s=task.times.apart_ms(0) / 1_000,
            calls=made,
            calls_max=made * (1 + task.max_retries),
            fits_s=_rounded_s(Fraction(task.times.interval_ms, 1_000) * factor) if isinstance(task.times, Every) else 0,
        )
        for task, made in zip(tasks, calls, strict=True)
    )
    return Planned(budget=budget, shares=shares)


def _calls(task: Task, budget: Budget) -> Fraction:
    """Return how many calls a task makes in a window."""
    calls = sum(calls for used, calls in task.uses.items() if budget.name in _budgets_of(used))
    if isinstance(task.times, Cron):
        runs = _most_runs(task.times, budget.window_ms)
        return Fraction(calls * runs)
    return Fraction(calls * budget.window_ms, task.times.interval_ms)


def _budgets_of(used: str) -> tuple[str, ...]:
    """Return the budgets of which a use takes.

    >>> _budgets_of("x:mentions"), _budgets_of("x")
    (('x', 'x:mentions'), ('x',))
    """
    service, sign, _ = used.partition(":")
    return (service, used) if sign else (service,)


def _most_runs(cron: Cron, window_ms: int) -> int:
    """Return the most due times of a cron in any window of the next days, its own start included."""
    due: list[int] = []
    at_ms = 0
    while len(due) < CRONS_LOOKED_AT:
        next_ms = cron.due_after(at_ms, anchor_ms=0)
        if next_ms is None or next_ms > max(DAYS_LOOKED_AT * DAY_MS, 2 * window_ms):
            break
        due.append(next_ms)
        at_ms = next_ms
    most, first = 0, 0
    for last, at in enumerate(due):
        while due[first] <= at - window_ms:
            first += 1
        most = max(most, last - first + 1)
    return most


DAYS_LOOKED_AT = 32
CRONS_LOOKED_AT = 5_000


def _rounded_s(seconds: Fraction) -> int:
    return ceil(seconds / ROUND_S) * ROUND_S


def _number(number: Fraction) -> str:
    return f"{float(number):.4g}"


def _span(ms: int) -> str:
    """Return a span of time as it is said.

    >>> _span(900_000), _span(1_000), _span(3_600_000)
    ('15 min', '1 s', '1 h')
    """
    for unit_ms, name in ((3_600_000, "h"), (60_000, "min")):
        if ms >= unit_ms and ms % unit_ms == 0:
            return f"{ms // unit_ms} {name}"
    return f"{ms / 1_000:g} s"
