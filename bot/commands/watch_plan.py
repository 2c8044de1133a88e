"""``tempogram plan watches``: what each preset of watches costs and gives, for one's own numbers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from tempogram.engine.model.errors import SettingsError
from tempogram.engine.watches.decisions import CASES, Decision, decisions
from tempogram.engine.watches.simulation import WARM_UP_DAYS, Numbers

if TYPE_CHECKING:
    from rich.table import Table

HEADINGS = ("preset", "calls a day", "of budget", "age median", "worst", "viewed median", "worst", "scales")

NOTE = (
    "Simulated: a week after a week of warm-up, at the pace of WATCH_GAP_MS. Ages are those of what is known of all "
    "watched items, and of those that a user looks at. It scales if twice the items and users stay within the budget, "
    "and what users see is no older."
)


def decide(numbers: Numbers, *, as_json: bool) -> None:
    """Print the table."""
    from tempogram.bot.config.settings import load

    rules = load().watch_rules()
    if as_json:
        import json

        typer.echo(json.dumps([as_dict(each, numbers) for each in decisions(numbers, rules)]))
        return
    from rich.console import Console

    found: list[Decision] = []
    for each in decisions(numbers, rules):
        found.append(each)
        if sys.stderr.isatty():
            typer.echo(f"\r{len(found)} of {len(CASES)} presets …", nl=False, err=True)
    if sys.stderr.isatty():
        typer.echo("\r", nl=False, err=True)
    console = Console(highlight=False)
    console.print(table(found, numbers))
    console.print(NOTE)


def numbers_of(items: int, users: int, budget: int, *, views: float, active: float, paid: float, seed: int) -> Numbers:
    """Return one's own numbers.

    Raises:
        SettingsError: One makes no sense.
    """
    for name, value, most in (("items", items, 1_000_000), ("users", users, 1_000_000), ("budget", budget, 10**9)):
        if not 1 <= value <= most:
            raise SettingsError(f"--{name} is {value:,}; it must be a number from 1 to {most:,}")
    for name, share in (("active", active), ("paid", paid)):
        if not 0 <= share <= 1:
            raise SettingsError(f"--{name} is {share:g}; it is a share, from 0 to 1")
    if not 0 <= views <= 1_000:
        raise SettingsError(f"--views is {views:g}; it must be a number from 0 to 1,000")
    return Numbers(items=items, users=users, budget=budget, views=views, active=active, paid=paid, seed=seed)


def table(found: list[Decision], numbers: Numbers) -> Table:
    from rich.table import Table

    made = Table(title=f"{numbers.items:,} items, {numbers.users:,} users, {numbers.budget:,} calls a day are allowed")
    for heading in HEADINGS:
        made.add_column(heading, justify="left" if heading in {"preset", "scales"} else "right")
    for each in found:
        made.add_row(*cells(each, numbers))
    return made


def cells(decision: Decision, numbers: Numbers) -> tuple[str, ...]:
    measured = decision.measured
    return (
        decision.name,
        f"{measured.calls_a_day:,.0f}",
        f"{decision.share:.0%}" + (" (late)" if measured.is_late else ""),
        *(age(hours, numbers) for hours in (measured.median_h, measured.worst_h)),
        *(age(hours, numbers) for hours in (measured.viewed_median_h, measured.viewed_worst_h)),
        "yes" if decision.scales else "no",
    )


def age(hours: float, numbers: Numbers) -> str:
    """Return an age as it is shown; as old as the simulation is: it was never checked.

    >>> age(11.8, Numbers()), age(96, Numbers()), age(359.5, Numbers())
    ('12 h', '4.0 d', 'never')
    """
    if hours > (WARM_UP_DAYS + numbers.days) * 24 - 24:
        return "never"
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.1f} d"


def as_dict(decision: Decision, numbers: Numbers) -> dict[str, object]:
    measured = decision.measured
    return {
        "preset": decision.name,
        "calls_a_day": round(measured.calls_a_day),
        "most_in_a_day": measured.most_in_a_day,
        "budget": numbers.budget,
        "share": round(decision.share, 3),
        "median_h": round(measured.median_h, 1),
        "worst_h": round(measured.worst_h, 1),
        "viewed_median_h": round(measured.viewed_median_h, 1),
        "viewed_worst_h": round(measured.viewed_worst_h, 1),
        "is_late": measured.is_late,
        "scales": decision.scales,
    }
